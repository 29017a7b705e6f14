/** The worklist: cases with their slides, and a search over them. */

import type { Config } from "../config";
import type { DicomWebClient } from "../dicom/client";
import { asFailure, isAbort } from "../dicom/failure";
import { h, icon, ICON, setState } from "../dom";
import { picture } from "../pictures";
import { slideHash } from "../router";
import { isEmpty, NO_TERMS, type Terms } from "../search";
import { findCases, PAGE_SIZE, type Case, type CaseSlide } from "../worklist";
import { failureNotice } from "./notice";
import { openUpload } from "./upload-dialog";

const TYPING_PAUSE_MS = 300;
const PICTURE_SIDE = 360;
const FIELDS: readonly (readonly [name: keyof Terms, label: string, hint: string])[] = [
  ["patient", "Patient", "Name or ID"],
  ["accession", "Accession", "Number"],
  ["container", "Container", "Slide identifier"],
  ["stain", "Stain", "H&E, Ki-67, …"],
];

/** Made once: search and place in the list outlive a look at a slide. */
export class WorklistView {
  readonly element: HTMLElement;
  private readonly list = h("ul", { class: "cases" });
  private readonly rest = h("div", { class: "rest" });
  private readonly count = h("p", { class: "count", role: "status" });
  private readonly form: HTMLFormElement;
  private terms: Terms = NO_TERMS;
  private readonly known = new Set<string>();
  private offset = 0;
  private end = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly client: DicomWebClient,
    private readonly config: Config,
  ) {
    this.form = this.searchForm();
    this.element = h(
      "main",
      { class: "worklist" },
      h("header", { class: "top" }, this.brand(), this.addButton()),
      this.form,
      this.count,
      this.list,
      this.rest,
    );
  }

  /** Ask again from the start. */
  reload(): void {
    this.end.abort();
    this.end = new AbortController();
    this.offset = 0;
    this.known.clear();
    setState("loading");
    this.list.setAttribute("aria-busy", "true");
    void this.loadMore(true);
  }

  focusSearch(): void {
    this.form.querySelector("input")?.focus();
  }

  private async loadMore(isFirst: boolean): Promise<void> {
    const { signal } = this.end;
    try {
      const page = await findCases(this.client, this.terms, this.offset, this.known, signal);
      this.offset += PAGE_SIZE;
      const rows = page.cases.map((one) => this.row(one));
      for (const one of page.cases) this.known.add(one.study);
      if (isFirst) this.list.replaceChildren(...rows);
      else this.list.append(...rows);
      this.finish(page.more);
    } catch (error) {
      if (isAbort(error)) return;
      if (isFirst) this.list.replaceChildren();
      this.count.textContent = "";
      this.rest.replaceChildren(
        failureNotice(asFailure(error), () => (isFirst ? this.reload() : void this.loadMore(false))),
      );
    } finally {
      if (!signal.aborted) this.list.removeAttribute("aria-busy");
    }
  }

  private finish(more: boolean): void {
    const shown = this.known.size;
    const isBare = shown === 0 && isEmpty(this.terms);
    setState(isBare ? "empty" : "worklist");
    this.form.hidden = isBare;
    this.count.textContent = isBare
      ? ""
      : shown === 0
        ? ""
        : `${shown}${more ? "+" : ""} ${shown === 1 ? "case" : "cases"}`;
    this.rest.replaceChildren();
    if (isBare) this.rest.append(this.welcome());
    else if (shown === 0) this.rest.append(this.nothingFound());
    if (more) this.rest.append(this.moreButton());
  }

  private row(one: Case): HTMLElement {
    const { facts } = one;
    const who = facts.patient || facts.patientId || "Unnamed patient";
    const details = [
      facts.patient && facts.patientId,
      facts.accession && `Accession ${facts.accession}`,
      facts.caseId && `Case ${facts.caseId}`,
      facts.date,
    ].filter(Boolean);
    return h(
      "li",
      { class: "case" },
      h(
        "div",
        { class: "about" },
        h("h2", {}, who),
        details.length > 0 && h("p", {}, details.join("  ·  ")),
        one.description !== "" && h("p", { class: "description" }, one.description),
      ),
      h("ul", { class: "slides" }, ...one.slides.map((slide) => this.slide(slide))),
    );
  }

  private slide(one: CaseSlide): HTMLElement {
    const { container, stains } = one.facts;
    return h(
      "li",
      {},
      h(
        "a",
        { href: slideHash(one.path), "aria-label": ["Slide", container, ...stains].filter(Boolean).join(" ") },
        picture((signal) => this.client.thumbnail(one.path, PICTURE_SIDE, signal), "", this.end.signal),
        h("span", { class: "name" }, container || "Slide"),
        h("span", { class: "stain" }, stains.join(", ")),
      ),
    );
  }

  private searchForm(): HTMLFormElement {
    const form = h(
      "form",
      { class: "search", role: "search", "aria-label": "Search cases" },
      icon(ICON.search),
      ...FIELDS.map(([name, label, hint]) =>
        h(
          "label",
          {},
          h("span", {}, label),
          h("input", { name, type: "search", placeholder: hint, autocomplete: "off", spellcheck: "false", maxlength: 64 }),
        ),
      ),
    );
    const search = (): void => {
      clearTimeout(this.timer);
      const terms = readTerms(form);
      if (JSON.stringify(terms) === JSON.stringify(this.terms)) return;
      this.terms = terms;
      this.reload();
    };
    form.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(search, TYPING_PAUSE_MS);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault(); // else the terms would end up in the address
      search();
    });
    return form;
  }

  private moreButton(): HTMLElement {
    const more = h("button", { type: "button", class: "more" }, "Show more cases");
    more.addEventListener("click", () => {
      more.disabled = true;
      void this.loadMore(false);
    });
    return more;
  }

  private nothingFound(): HTMLElement {
    const clear = (): void => {
      this.form.reset();
      this.terms = NO_TERMS;
      this.reload();
      this.focusSearch();
    };
    return h(
      "section",
      { class: "notice" },
      h("h2", {}, "No case matches"),
      h("p", {}, "Parts of words are enough, and * stands for anything. Upper and lower case count, except in names."),
      h("div", { class: "actions" }, h("button", { class: "primary", type: "button", onclick: clear }, "Clear the search")),
    );
  }

  private welcome(): HTMLElement {
    const { apiUrl } = this.config;
    return h(
      "section",
      { class: "notice welcome" },
      h("h2", {}, "No slides yet"),
      h("p", {}, "Put the first one in from a terminal; it is converted to DICOM and appears here:"),
      h("pre", {}, h("code", {}, 'coverslip ingest slide.svs --accession A-1 --stain "H&E"')),
      apiUrl !== undefined && h("p", {}, "Or give it to the archive right here."),
      h("div", { class: "actions" }, apiUrl !== undefined && this.uploadButton(apiUrl, "primary")),
    );
  }

  private brand(): HTMLElement {
    return h(
      "h1",
      { class: "brand" },
      h("img", { src: "./icon.svg", alt: "", width: 32, height: 32 }),
      "Coverslip",
    );
  }

  private addButton(): HTMLElement | null {
    const { apiUrl } = this.config;
    return apiUrl === undefined ? null : this.uploadButton(apiUrl, "quiet");
  }

  private uploadButton(apiUrl: string, kind: string): HTMLElement {
    const open = (): void => openUpload(apiUrl, () => this.reload());
    return h("button", { class: kind, type: "button", onclick: open }, icon(ICON.upload), "Add a slide");
  }
}

function readTerms(form: HTMLFormElement): Terms {
  const data = new FormData(form);
  const value = (name: keyof Terms): string => {
    const entry = data.get(name);
    return typeof entry === "string" ? entry.trim() : "";
  };
  return {
    patient: value("patient"),
    accession: value("accession"),
    container: value("container"),
    stain: value("stain"),
  };
}
