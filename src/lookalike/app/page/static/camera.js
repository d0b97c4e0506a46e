// A picture from the camera, in a dialog of its own.

import { ApiError } from "./api.js";
import { el, icon } from "./dom.js";

// Browsers know no camera on a page that came over plain http from another machine.
const NEEDS_HTTPS =
  "It needs https: browsers give no camera to a page that comes over plain http from another machine. " +
  "Put a proxy with a certificate in front of the server, or press Choose, which offers a phone's camera too.";

/**
 * Ask for the camera and show it; `take` is given the picture, `refuse` what is in the way.
 * @param {Element} root
 * @param {(file: File) => void} take
 * @param {(error: ApiError) => void} refuse
 * @returns {Promise<void>}
 */
export async function takePicture(root, take, refuse) {
  if (!window.isSecureContext || !navigator.mediaDevices) return refuse(new ApiError("Camera", NEEDS_HTTPS));
  /** @type {MediaStream} */
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1280 } });
  } catch (error) {
    const denied = error instanceof Error && error.name === "NotAllowedError";
    refuse(new ApiError("Camera", denied ? "The browser does not allow this page to use it." : "No camera was found."));
    return;
  }
  const video = el("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  };
  const shoot = () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && take(new File([blob], "camera picture", { type: blob.type })), "image/jpeg", 0.92);
    dialog.close();
  };
  const dialog = el(
    "dialog",
    { class: "lk-dialog", "aria-label": "Camera", onclose: close },
    video,
    el(
      "div",
      { class: "lk-dialog-row" },
      el("button", { type: "button", class: "lk-button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { type: "button", class: "lk-button is-primary", onclick: shoot }, icon("camera"), "Take the picture"),
    ),
  );
  root.append(dialog);
  dialog.showModal();
}
