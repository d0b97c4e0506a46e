// The searches of this visit. The browser's own history leads through them; this remembers the states, with files that no
// address can hold, and which way there is more.

import { fromParams, toParams } from "./query.js";

/** @import { Part, State, Visits } from "./types.d.ts" */

const RECENT = 6;

/**
 * `show(state)` is called when the browser goes to another search.
 * @param {string} collection
 * @param {(state: State) => void} show
 * @returns {Visits}
 */
export function createHistory(collection, show) {
  /** @type {Map<number, State>} */
  const states = new Map();
  let at = history.state?.lookalike ?? 0;
  const isNew = history.state?.lookalike === undefined; // an address that was typed or followed: nothing lies ahead of it
  let last = isNew ? at : Math.max(at, Number(sessionStorage.getItem("lookalike-last") ?? 0) || 0);

  /** @param {State} state */
  const addressOf = (state) => `?${toParams(state)}`.replaceAll("%2C", ",").replaceAll("%2F", "/");
  /** @type {(how: "pushState" | "replaceState", state: State) => void} */
  const write = (how, state) => {
    states.set(at, state);
    sessionStorage.setItem("lookalike-last", String(last));
    history[how]({ ...history.state, lookalike: at, names: namesOf(state) }, "", addressOf(state));
  };

  window.addEventListener("popstate", (event) => {
    at = event.state?.lookalike ?? 0;
    show(states.get(at) ?? parsed());
  });

  /** @returns {State} */
  function parsed() {
    const state = fromParams(new URLSearchParams(location.search), collection);
    /** @type {Record<string, string>} */
    const names = history.state?.names ?? {};
    /** @param {Part} each */
    const named = (each) => (each.tag && each.tag in names ? { ...each, name: names[each.tag] } : each);
    return { ...state, parts: state.parts.map(named) };
  }

  return {
    /** What the address asks for. */
    start: () => parsed(),
    push(state) {
      at += 1;
      last = at;
      for (const key of states.keys()) if (key > at) states.delete(key);
      write("pushState", state);
    },
    /** The same search, better known or shown otherwise. */
    replace: (state) => write("replaceState", state),
    back: () => history.back(),
    forward: () => history.forward(),
    canBack: () => at > 0,
    canForward: () => at < last,
    /** States before the present one, latest first; one for each thing asked. */
    recent(isAsked) {
      const seen = new Set();
      const found = [];
      for (let step = at - 1; step >= 0 && found.length < RECENT; step -= 1) {
        const state = states.get(step);
        const key = state && state.parts.map((each) => each.tag ?? each.url ?? each.id ?? each.text ?? each.key).join();
        if (state && isAsked(state) && key && !seen.has(key)) found.push(state);
        seen.add(key);
      }
      return found;
    },
  };
}

/**
 * What no address says: what uploads are called.
 * @param {State} state
 */
const namesOf = (state) => Object.fromEntries(state.parts.filter((each) => each.tag).map((each) => [each.tag, each.name]));
