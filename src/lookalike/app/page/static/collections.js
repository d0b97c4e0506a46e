// The dialog in which collections are chosen, made from folders of this machine, brought up to date and deleted.

import { ApiError } from "./api.js";
import { el } from "./dom.js";
import { followJob, showJob, runningJob } from "./jobs.js";
import { newCollection } from "./folders.js";
import { alertBox, ask, button, many, openSheet, size } from "./sheet.js";

/** @import { Collection, Collections, CollectionsContext, Job, Jobs, Reason, SkippedFiles } from "./types.d.ts" */

const NOT_HERE =
  "Collections can be made, updated and deleted only on the server's own machine, " +
  "because that reads its folders. The command there is: lookalike index FOLDER";
const NO_TOKEN =
  "Making, updating and deleting collections needs the server's secret, and this page was opened without it. " +
  "Open the address that lookalike serve printed in its terminal: it ends in ?token= and the secret.";

/**
 * Open the dialog; `current` is the collection shown, `setCollection(name)` shows another, `refresh()` re-reads names.
 * @param {CollectionsContext["page"]} page
 */
export function openCollections({ current, setCollection, refresh }) {
  const page = { current, setCollection, refresh };
  const sheet = openSheet("collections");
  /** @type {CollectionsContext} */
  const context = {
    sheet,
    page,
    list: () => list(context),
    /** Watch a job in this dialog for as long as it is open. */
    watch: (job) => watch(context, job),
    choose(name) {
      page.current = name;
      page.setCollection(name);
      sheet.close();
    },
  };
  sheet.show("Collections", el("p", { class: "lk-lead" }, "Loading…"));
  begin(context);
}

/** @param {CollectionsContext} context */
async function begin(context) {
  const isLast = context.sheet.begin();
  const job = await runningJob().catch(() => null);
  if (!isLast()) return;
  if (job) context.watch(job);
  else context.list();
}

/** @param {CollectionsContext} context */
async function list(context) {
  const { sheet, page } = context;
  const isLast = sheet.begin();
  /** @type {[Promise<Collections>, Promise<Jobs>]} */
  const asked = [ask("collections?details=true"), ask("jobs")];
  let answer;
  let jobs;
  try {
    [answer, jobs] = await Promise.all(asked);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (isLast()) sheet.show("Collections", alertBox(error.message));
    return;
  }
  if (!isLast()) return;
  const rows = answer.collections.map((item) => row(context, item, jobs.local));
  const foot = jobs.local
    ? el("div", { class: "lk-sheet-foot" }, button("New collection", () => newCollection(context, answer.collections), { class: "is-primary" }))
    : el("p", { class: "lk-remark" }, jobs.needs_token ? NO_TOKEN : NOT_HERE);
  sheet.show("Collections", el("ul", { class: "lk-collections" }, rows), foot);
  /** @type {HTMLElement | null} */
  const current = sheet.body.querySelector(`[data-name="${CSS.escape(page.current)}"] button`);
  (current ?? sheet.heading).focus({ preventScroll: false });
}

/** @type {(context: CollectionsContext, item: Collection, isLocal: boolean) => HTMLElement} */
function row(context, item, isLocal) {
  const { page } = context;
  const isCurrent = item.name === page.current;
  const folders = item.folders ?? [];
  const facts = item.problem
    ? el("span", { class: "lk-problem" }, item.problem)
    : [
        many(item.pictures ?? 0, "picture"),
        item.missing ? `${many(item.missing, "picture")} missing` : null,
        item.skipped ? `${many(item.skipped, "file")} skipped` : null,
        item.bytes ? `index ${size(item.bytes)}` : null,
      ].filter(Boolean).join(" · ");
  const choose = el(
    "button",
    { type: "button", class: "lk-choose", "aria-current": isCurrent ? "true" : null, disabled: Boolean(item.problem), onclick: () => context.choose(item.name) },
    el("strong", {}, item.name),
    isCurrent ? el("span", { class: "lk-tag" }, "shown now") : null,
    el("span", { class: "lk-facts" }, facts),
    folders.map((folder) => el("span", { class: "lk-path", title: folder.path }, folder.missing ? `${folder.path} (not there now)` : folder.path)),
  );
  /** @param {string} text */
  const named = (text) => ({ "aria-label": `${text} ${item.name}`, class: "is-quiet" });
  const actions = [
    item.skipped ? button("Skipped", () => skipped(context, item), { ...named("Skipped files of") }) : null,
    isLocal && folders.length && !item.problem ? button("Update", () => update(context, item), named("Update")) : null,
    isLocal && !item.default ? button("Delete", () => confirmDeletion(context, item), named("Delete")) : null,
  ].filter(Boolean);
  return el("li", { class: `lk-collection${isCurrent ? " is-current" : ""}`, "data-name": item.name }, choose, actions.length ? el("div", { class: "lk-actions" }, actions) : null);
}

/** @type {(context: CollectionsContext, item: Collection) => Promise<void>} */
async function skipped(context, item) {
  const { sheet } = context;
  const back = button("Back", context.list);
  sheet.show(`Skipped in ${item.name}`, el("p", { class: "lk-lead" }, "Loading…"));
  const isLast = sheet.begin();
  try {
    /** @type {SkippedFiles} */
    const { total, reasons } = await ask(`skipped?in=${encodeURIComponent(item.name)}`);
    if (!isLast()) return;
    sheet.show(
      `Skipped in ${item.name}`,
      el("p", { class: "lk-lead" }, `${many(total, "file was", "files were")} skipped. They are checked again at each update.`),
      reasonList(reasons),
      el("div", { class: "lk-sheet-foot" }, back),
    );
    back.focus();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (isLast()) sheet.show(`Skipped in ${item.name}`, alertBox(error.message), el("div", { class: "lk-sheet-foot" }, back));
  }
}

/**
 * Skipped files under their reasons, each to be opened.
 * @param {Reason[]} reasons
 * @returns {HTMLElement}
 */
export function reasonList(reasons) {
  return el(
    "div",
    { class: "lk-reasons" },
    reasons.map(({ reason, count, files }) =>
      el(
        "details",
        { open: reasons.length === 1 && count <= 8 },
        el("summary", {}, el("span", {}, reason), el("b", {}, count.toLocaleString("en"))),
        el("ul", {}, files.map((file) => el("li", {}, file)), count > files.length ? el("li", { class: "lk-more" }, `and ${many(count - files.length, "more", "more")}`) : null),
      ),
    ),
  );
}

/** @type {(context: CollectionsContext, item: Pick<Collection, "name">) => Promise<void>} */
async function update(context, item) {
  try {
    context.watch(await ask(`collections/${encodeURIComponent(item.name)}/update`, { method: "POST" }));
  } catch (error) {
    failed(context, error);
  }
}

/** @type {(context: CollectionsContext, error: unknown) => void} */
function failed(context, error) {
  if (!(error instanceof ApiError)) throw error;
  const { sheet } = context;
  sheet.body.querySelector(".lk-alert")?.remove();
  sheet.body.prepend(alertBox(error.message));
  sheet.body.scrollTo({ top: 0 });
}

/** @type {(context: CollectionsContext, item: Collection) => void} */
function confirmDeletion(context, item) {
  const { sheet, page } = context;
  const cancel = button("Cancel", context.list);
  const known = item.pictures ?? null;
  const lost = known === null ? "Its index will be deleted. " : `What lookalike knows about ${many(known, "picture")} will be deleted. `;
  const go = async () => {
    try {
      await ask(`collections/${encodeURIComponent(item.name)}`, { method: "DELETE" });
    } catch (error) {
      failed(context, error);
      return;
    }
    try {
      if (item.name === page.current) {
        /** @type {Collections} */
        const { collections } = await ask("collections");
        page.current = collections[0].name;
        page.setCollection(page.current);
      }
    } catch (error) {
      failed(context, error); // it is gone all the same: the list says so
    }
    page.refresh();
    context.list();
  };
  sheet.show(
    `Delete ${item.name}?`,
    el("p", { class: "lk-lead" }, lost, el("b", {}, "The pictures themselves stay where they are.")),
    el("div", { class: "lk-sheet-foot" }, cancel, button("Delete the collection", go, { class: "is-danger" })),
  );
  cancel.focus();
}

/** @type {(context: CollectionsContext, job: Job) => void} */
function watch(context, job) {
  const { sheet, page } = context;
  const view = el("div", { class: "lk-job" });
  sheet.show(job.collection, view);
  /** @param {Job} latest */
  const draw = (latest) => {
    if (!view.isConnected) return;
    showJob(view, latest, {
      show: () => context.choose(latest.collection),
      again: () => update(context, { name: latest.collection }),
      back: context.list,
      isCurrent: latest.collection === page.current,
    });
  };
  draw(job);
  followJob(job, draw, () => {
    page.refresh();
    if (job.collection === page.current) page.setCollection(job.collection);
  });
}
