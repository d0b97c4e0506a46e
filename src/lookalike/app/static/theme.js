// Light or dark: the system's choice, until somebody makes another one.

const KEY = "lookalike-theme";

export function followTheme(button) {
  button.addEventListener("click", () => {
    const dark = document.body.classList.toggle("dark");
    remember(dark ? "dark" : "light");
  });
  const theme = recall();
  if (theme && !new URLSearchParams(location.search).has("__theme")) {
    document.body.classList.toggle("dark", theme === "dark");
  }
}

function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // A browser that keeps nothing shows the system's theme next time.
  }
}

function recall() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
