// Light or dark: the system's choice (early.js), until somebody makes another one.

const KEY = "lookalike-theme"; // early.js reads it

/** @param {Element} button */
export function followTheme(button) {
  button.addEventListener("click", () => {
    const dark = document.documentElement.classList.toggle("dark");
    remember(dark ? "dark" : "light");
  });
}

/** @param {"dark" | "light"} theme */
function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // A browser that keeps nothing shows the system's theme next time.
  }
}
