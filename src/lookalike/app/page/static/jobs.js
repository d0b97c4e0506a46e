// A piece of indexing: how far it is, how to stop it, and what came of it.

import { ApiError } from "./api.js";
import { reasonList } from "./collections.js";
import { el, finder } from "./dom.js";
import { alertBox, ask, button, duration, many } from "./sheet.js";

/** @import { Job, JobReport, Jobs } from "./types.d.ts" */
/** @typedef {{ show: () => void, again: () => void, back: () => void, isCurrent: boolean }} Handlers */

const EVERY = 400; // ms
const SPOKEN = 5000; // ms between two things that a screen reader says
/** @type {Record<string, string>} */
const PHASES = {
  scanning: "Looking through the folder",
  embedding: "Reading pictures",
  indexing: "Making the index",
};

/**
 * The job that runs now, or null.
 * @returns {Promise<Job | null>}
 */
export async function runningJob() {
  /** @type {Jobs} */
  const { jobs } = await ask("jobs");
  return jobs.find((job) => job.state === "running") ?? null;
}

/** @type {Map<number, { draw: (job: Job) => void }>} */
const watched = new Map();

/**
 * Ask about a job until it has ended, whether or not somebody looks; `draw` is told each time, `ended` once.
 * @param {Job} job
 * @param {(latest: Job) => void} draw
 * @param {() => void} ended
 */
export function followJob(job, draw, ended) {
  const known = watched.get(job.id);
  if (known) {
    known.draw = draw;
    return;
  }
  const mine = { draw };
  watched.set(job.id, mine);
  const opener = document.querySelector("#lk-collections");
  opener?.classList.add("is-busy");
  const poll = async () => {
    try {
      /** @type {Jobs} */
      const { jobs } = await ask("jobs");
      const latest = jobs.find(({ id }) => id === job.id);
      if (latest) mine.draw(latest);
      if (latest?.state === "running") return void setTimeout(poll, EVERY);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return void setTimeout(poll, 4 * EVERY); // the server may come back
    }
    watched.delete(job.id);
    opener?.classList.remove("is-busy");
    ended();
    return undefined;
  };
  setTimeout(poll, EVERY);
}

/**
 * Draw a job; while it runs, what is there is changed and not replaced, so that the focus stays.
 * @param {HTMLElement} view
 * @param {Job} job
 * @param {Handlers} handlers
 */
export function showJob(view, job, handlers) {
  if (job.state === "running") showProgress(view, job);
  else if (view.dataset.state !== job.state) showOutcome(view, job, handlers);
  view.dataset.state = job.state;
}

/**
 * @param {HTMLElement} view
 * @param {Job} job
 */
function showProgress(view, job) {
  const find = finder(view);
  if (!view.querySelector("progress")) {
    /** @type {HTMLButtonElement} */
    const stop = button("Cancel", () => stopJob(view, job.id, stop));
    view.replaceChildren(
      el("p", { class: "lk-phase" }),
      el("progress", { "aria-label": `Indexing ${job.collection}` }),
      el("p", { class: "lk-pace" }),
      el("p", { class: "lk-remark" }, "You can close this and go on searching. What is done is kept, also when you cancel."),
      el("p", { class: "lk-hidden", role: "status" }),
      el("div", { class: "lk-sheet-foot" }, stop),
    );
    stop.focus();
  }
  const { phase = "", done = 0, total = 0, rate = 0, seconds_left: left = null, skipped = 0 } = job.progress ?? {};
  const bar = find("progress", HTMLProgressElement);
  if (total) Object.assign(bar, { max: total, value: done });
  else bar.removeAttribute("value");
  const heading = job.stopping ? "Stopping" : PHASES[phase] ?? "Starting";
  find(".lk-phase").textContent = `${heading}…`;
  const facts = [
    total ? `${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : done ? many(done, "file") : null,
    rate >= 1 ? `${Math.round(rate).toLocaleString("en")} a second` : rate > 0 ? `${rate.toFixed(1)} a second` : null,
    left !== null && total > done ? `about ${duration(left)} left` : null,
    skipped ? `${many(skipped, "file")} skipped` : null,
  ].filter(Boolean);
  find(".lk-pace").textContent = facts.join(" · ") || "\u00a0";
  speak(view, `${heading}. ${facts.join(", ")}`);
}

/** @type {(view: HTMLElement, text: string) => void} */
function speak(view, text) {
  const now = performance.now();
  if (now - Number(view.dataset.spoken ?? -SPOKEN) < SPOKEN) return;
  view.dataset.spoken = String(now);
  finder(view)("[role=status]").textContent = text;
}

/** @type {(view: HTMLElement, id: number, stop: HTMLButtonElement) => Promise<void>} */
async function stopJob(view, id, stop) {
  stop.disabled = true;
  try {
    await ask(`jobs/${id}`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    stop.disabled = false;
    view.prepend(alertBox(error.message));
  }
}

/**
 * @param {HTMLElement} view
 * @param {Job} job
 * @param {Handlers} handlers
 */
function showOutcome(view, job, { show, again, back, isCurrent }) {
  const { report } = job;
  const foot = [button(isCurrent ? "Close" : `Show ${job.collection}`, show, { class: "is-primary" })];
  if (!report || !report.indexed) foot.pop();
  if (job.state === "stopped" && report?.indexed) foot.unshift(button("Go on", again));
  foot.unshift(button("All collections", back));
  view.replaceChildren(
    ...[
      job.error ? alertBox(job.error) : null,
      el("p", { class: "lk-phase", role: "status" }, headline(job)),
      report ? el("p", { class: "lk-pace" }, details(report)) : null,
      report?.skipped_count
        ? el("section", {}, el("h3", {}, `${many(report.skipped_count, "file")} skipped, and why`), reasonList(report.reasons))
        : null,
      el("div", { class: "lk-sheet-foot" }, foot),
    ].filter((each) => each !== null),
  );
  finder(view)(".lk-sheet-foot .is-primary, .lk-sheet-foot button").focus();
}

/** @param {Job} job */
function headline({ state, report, collection }) {
  if (state === "failed") return "It could not be finished. What was done before is kept.";
  if (state === "stopped") {
    return report?.indexed
      ? `Stopped. ${many(report.indexed, "picture")} can be searched; “Go on” does the rest.`
      : "Stopped before anything was indexed.";
  }
  if (!report?.indexed) return "There is no picture in this folder that can be read, so no collection was made.";
  return `${many(report.indexed, "picture")} of ${collection} can be searched.`;
}

/** @type {("new" | "changed" | "moved" | "removed" | "missing")[]} */
const COUNTED = ["new", "changed", "moved", "removed", "missing"];

/** @param {JobReport} report */
function details(report) {
  const parts = COUNTED.filter((key) => report[key]).map((key) => `${report[key].toLocaleString("en")} ${key}`);
  return `${parts.join(", ") || "nothing has changed"} · ${duration(report.seconds)}`;
}
