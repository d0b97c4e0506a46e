// Before anything is drawn, so that a dark page is never light for a moment: the theme that was chosen, else the system's.

{
  const chosen = () => {
    try {
      return localStorage.getItem("lookalike-theme");
    } catch {
      return null; // a browser that keeps nothing follows the system
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = () => document.documentElement.classList.toggle("dark", (chosen() ?? (system.matches ? "dark" : "light")) === "dark");
  system.addEventListener("change", show);
  show();
}
