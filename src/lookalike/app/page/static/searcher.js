// One search at a time: asks, asks again with what the server forgot, and measures from the click to the drawn results.

/** @import { Answer, Found, Mark, Part, State, Timing } from "./types.d.ts" */

import * as api from "./api.js";
import { tagged, toForm, untagged } from "./query.js";

/**
 * `ask(state)` gives {state, answer}, or null if another search came meanwhile.
 * @returns {{ ask: (state: State) => Promise<Found | null>, stop: () => null }}
 */
export function createSearcher() {
  /** @type {AbortController | null} */
  let running = null;

  /** @type {(state: State) => Promise<Found | null>} */
  async function ask(state) {
    running?.abort();
    const mine = (running = new AbortController());
    try {
      const [answer, named] = await Promise.all([answered(state, mine.signal), withNames(state)]);
      if (mine !== running) return null;
      return { answer, state: tagged(named, answer.queries) };
    } catch (error) {
      if (mine !== running || api.isAborted(error)) return null;
      throw error;
    }
  }

  function stop() {
    running?.abort();
    running = null;
    return null;
  }

  return { ask, stop };
}

/**
 * @param {State} state
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
async function answered(state, signal) {
  try {
    return await api.search(toForm(state), signal);
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    const again = error.type === "IdError" && untagged(state);
    if (error.type === "IdError" && !again && state.parts.some((each) => each.tag)) {
      const message = "The server keeps uploads only while it runs, and drops the oldest ones. Give this picture again.";
      throw new api.ApiError("Forgotten", message);
    }
    if (!again) throw error;
    return api.search(toForm(again), signal);
  }
}

/**
 * A link has ids only: what their pictures are called.
 * @param {State} state
 * @returns {Promise<State>}
 */
async function withNames(state) {
  /**
   * @template {Part | Mark} T
   * @param {T} each
   * @param {string | undefined} collection
   * @returns {Promise<T>}
   */
  const named = async (each, collection) => {
    if (each.name !== undefined || each.id === undefined || collection === undefined) return each;
    try {
      const { name, credit } = await api.picture(each.id, collection);
      const known = { ...each, name, credit };
      Object.freeze(known);
      return known;
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      return each; // the search says what is wrong
    }
  };
  const [parts, like, dislike] = await Promise.all([
    Promise.all(state.parts.map((each) => named(each, each.source))),
    Promise.all(state.like.map((each) => named(each, state.collection))),
    Promise.all(state.dislike.map((each) => named(each, state.collection))),
  ]);
  return { ...state, parts, like, dislike };
}

/**
 * When the present event happened, or now.
 * @returns {number}
 */
export const clicked = () => window.event?.timeStamp ?? performance.now();

/**
 * Call back with the milliseconds since `begun` when what was drawn can be seen; also as marks of the browser.
 * @param {number} begun
 * @param {Timing} timing
 * @param {(total: number) => void} done
 */
export function measure(begun, timing, done) {
  requestAnimationFrame(() =>
    setTimeout(() => {
      const total = performance.now() - begun;
      for (const [name, duration] of Object.entries({ ...timing, total })) {
        performance.clearMeasures(`lookalike: ${name}`);
        performance.measure(`lookalike: ${name}`, { start: begun, duration });
      }
      done(total);
    }),
  );
}
