// Answers come in any order: what was asked last counts.

/** @import { IsLast } from "./types.d.ts" */

/**
 * Gives `begin()`, which gives a function that says whether nothing was begun since.
 * @returns {() => IsLast}
 */
export function createTurns() {
  let turn = 0;
  return () => {
    const mine = (turn += 1);
    return () => mine === turn;
  };
}
