// Before anything is drawn, so that a dark page is never light for a moment: the theme that was chosen, else the system's.

{
  let chosen = null;
  try {
    chosen = localStorage.getItem("lookalike-theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  document.documentElement.classList.toggle("dark", chosen ? chosen === "dark" : system.matches);
  system.addEventListener("change", () => {
    try {
      if (localStorage.getItem("lookalike-theme")) return;
    } catch {
      // as above
    }
    document.documentElement.classList.toggle("dark", system.matches);
  });
}
