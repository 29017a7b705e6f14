/** Beside the slide: its label, what is known of it, and the other slides of its case. */

import type { DicomWebClient } from "../dicom/client";
import type { Profile, Slide } from "../dicom/slide";
import { h } from "../dom";
import { formatMagnification } from "../magnification";
import { picture } from "../pictures";
import { slideHash } from "../router";
import type { CaseSlide } from "../worklist";

const LABEL_SIDE = 400;
const SEX: Record<string, string> = { M: "male", F: "female", O: "other" };

export class Panel {
  readonly element: HTMLElement;
  private readonly colour = h("dd", {}, "…");
  private readonly siblings = h("section", { class: "siblings", hidden: true });

  constructor(
    private readonly client: DicomWebClient,
    private readonly slide: Slide,
    private readonly signal: AbortSignal,
  ) {
    const { facts } = slide;
    this.element = h(
      "aside",
      { class: "panel", id: "panel", "aria-label": "About this slide" },
      this.label(),
      h(
        "section",
        {},
        h("h2", {}, "Slide"),
        list([
          ["Container", facts.container],
          ["Specimen", facts.specimens.join(", ")],
          ["Tissue", facts.descriptions.join(", ")],
          ["Stain", facts.stains.join(", ")],
        ]),
      ),
      h(
        "section",
        {},
        h("h2", {}, "Case"),
        list([
          ["Patient", facts.patient],
          ["Patient ID", facts.patientId],
          ["Born", [facts.birthDate, SEX[facts.sex]].filter(Boolean).join(", ")],
          ["Accession", facts.accession],
          ["Case", facts.caseId],
          ["Date", facts.date],
        ]),
      ),
      this.image(),
      this.siblings,
    );
  }

  showProfile(profile: Profile | undefined): void {
    this.colour.textContent =
      profile === undefined
        ? "profile could not be read; colours as stored"
        : profile.name === ""
          ? "no ICC profile; taken for sRGB"
          : `ICC: ${profile.name}`;
  }

  showSiblings(slides: readonly CaseSlide[]): void {
    if (slides.length < 2) return;
    const links = slides.map((one, index) => {
      const isThis = one.path.series === this.slide.path.series;
      const name = one.facts.container || `Slide ${index + 1}`;
      return h(
        "li",
        {},
        h(
          "a",
          { href: slideHash(one.path), "aria-current": isThis ? "page" : undefined },
          picture((signal) => this.client.thumbnail(one.path, 160, signal), "", this.signal),
          h("span", { class: "name" }, name),
          h("span", { class: "stain" }, one.facts.stains.join(", ")),
        ),
      );
    });
    this.siblings.replaceChildren(
      h("h2", {}, `Slides of this case (${slides.length})`),
      h("ul", {}, ...links),
    );
    this.siblings.hidden = false;
  }

  private label(): HTMLElement | null {
    const { label } = this.slide;
    if (label === undefined) return null;
    return h(
      "section",
      { class: "label" },
      picture((signal) => this.client.rendered(label, LABEL_SIDE, signal), "The slide's label", this.signal),
    );
  }

  private image(): HTMLElement {
    const { base, scale, objective, facts, levels } = this.slide;
    const spacing = scale.micrometres;
    const native = scale.native === undefined ? "" : formatMagnification(scale.native);
    return h(
      "section",
      {},
      h("h2", {}, "Image"),
      list([
        ["Size", `${grouped(base.columns)} × ${grouped(base.rows)} px`],
        ["Pixel", spacing === undefined ? "size unknown" : `${Number(spacing.toPrecision(4))} µm`],
        ["Objective", objective === undefined ? native : `${objective}×`],
        ["Levels", String(levels.length)],
        ["Scanner", facts.scanner],
        ["Scanned", facts.scanned],
        ["Colour", this.colour],
      ]),
    );
  }
}

function list(rows: readonly (readonly [string, string | HTMLElement])[]): HTMLElement {
  const shown = rows.filter(([, value]) => value !== "");
  if (shown.length === 0) return h("p", { class: "nothing" }, "Nothing was recorded.");
  return h(
    "dl",
    {},
    ...shown.map(([name, value]) =>
      h("div", {}, h("dt", {}, name), typeof value === "string" ? h("dd", {}, value) : value),
    ),
  );
}

function grouped(value: number): string {
  return value.toLocaleString("en-US");
}
