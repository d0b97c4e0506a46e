"""What the ends of file names say: a picture, a picture that is not read, or something else. In lower case, with the dot."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

__all__ = ["OTHER", "SUFFIXES", "UNREAD", "UNREAD_REASONS"]

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".png", ".apng", ".gif", ".webp", ".tif", ".tiff"}
    | {".bmp", ".dib", ".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs", ".pbm", ".pgm", ".pnm", ".ppm"}
    | {".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
)
"""Of files that are taken for pictures. What has another suffix, or none, is known by its first bytes."""

_RAW: Final = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_VECTOR: Final = (".ai", ".cdr", ".emf", ".eps", ".ps", ".svg", ".svgz", ".wmf")
_EDITOR: Final = (".clip", ".kra", ".pdn", ".psb", ".psd", ".xcf")

UNREAD_REASONS: Final = (
    (_RAW, "a camera raw file ({}); export it as JPEG to have it searched"),
    (_VECTOR, "a vector drawing ({}); export it as PNG to have it searched"),
    (_EDITOR, "a drawing program's own file ({}); export it as PNG to have it searched"),
)
"""Of pictures that are passed over for their names alone, and what is said of them."""

UNREAD: Final = MappingProxyType(
    {
        ".jxl": "JPEG XL",
        ".jls": "JPEG-LS",
        ".exr": "OpenEXR",
        ".hdr": "Radiance HDR",
        ".dds": "DirectDraw",
        ".qoi": "QOI",
        ".pam": "PAM",
        ".bpg": "BPG",
        ".flif": "FLIF",
        **dict.fromkeys((".jxr", ".wdp", ".hdp"), "JPEG XR"),
        **dict.fromkeys((".ico", ".cur", ".icns"), "an icon"),
        **dict.fromkeys((".tga", ".icb", ".vda", ".vst"), "Targa"),
        **dict.fromkeys((".pcx", ".dcx"), "PCX"),
        **dict.fromkeys((".djvu", ".djv"), "DjVu"),
        **dict.fromkeys((".mng", ".jng"), "MNG"),
        **dict.fromkeys((".fits", ".fit"), "FITS"),
        **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
        **dict.fromkeys((".xbm", ".xpm"), "an X11 drawing"),
        **dict.fromkeys((".sgi", ".ras"), "SGI or Sun raster"),
    }
)
"""Of other pictures that are not read, unless their first bytes say that they are one that is; and their formats."""

OTHER: Final = frozenset(
    """
    .7z .a .aac .aae .ac3 .apk .app .asf .asp .ass .avi .awk .bash .bat .bib .blend .bz2 .c .cab .cc .cfg .class
    .clj .cmake .cmd .conf .cpp .crt .cs .css .csv .cxx .dart .db .db3 .deb .diff .dll .dmg .doc .docm .docx .dtd
    .dylib .el .elf .eml .env .epub .erl .ex .exe .f90 .fish .flac .flv .fs .fvecs .gitignore .go .gpg .gpx .gradle
    .gz .h .h5 .hdf5 .hpp .hs .htm .html .ics .idx .ini .ipynb .iso .jar .java .jl .js .json .jsonl .jsx .key .kml
    .kt .less .lka .lnk .lock .log .lrc .lua .m .m2ts .m3u .m3u8 .m4a .m4v .mak .make .mat .mbox .md .mdb .mid .mjs
    .mk .mka .mkv .ml .mod .mov .mp2 .mp3 .mp4 .mpeg .mpg .msg .msi .mts .nfo .npy .npz .o .obj .odp .ods .odt .ogg
    .ogv .onnx .opus .org .otf .parquet .part .patch .pb .pdf .pem .php .pickle .pkl .pl .pm .po .pot .ppt .pptx
    .prproj .ps1 .psql .pt .pth .py .pyc .pyd .pyi .pyo .qml .r .rar .rb .rdf .reg .rm .rmvb .rpm .rs .rst .rtf
    .safetensors .sass .scala .scss .sh .so .sql .sqlite .sqlite-shm .sqlite-wal .sqlite3 .srt .stl .sub .sum
    .swf .swift .tar .tcl .tex .tgz .toml .torrent .ts .tsv .tsx .ttc .ttf .txt .url .vb .vcf .vdi .vhd .vim .vmdk
    .vob .vtt .vue .wasm .wav .webm .webmanifest .whl .wma .wmv .woff .woff2 .xhtml .xls .xlsm .xlsx .xml .xmp .xsd
    .xsl .xz .yaml .yml .z .zig .zip .zsh .zst
    """.split()  # noqa: SIM905
)
"""Of files that lie beside pictures, or in a home folder, by the thousand. They are not opened to see what they are."""
