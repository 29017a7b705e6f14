/** Magnification: buttons for the usual steps, what it is now, and a bar of round length. */

import { h, icon, ICON } from "../dom";
import {
  STEPS,
  formatMagnification,
  magnificationAt,
  resolutionAt,
  scaleBar,
  type Scale,
} from "../magnification";

const BAR_PIXELS = 140;
/** A step is offered while a base pixel stays smaller than this on the screen. */
const COARSEST = 1 / 2.2;

export interface ZoomActions {
  readonly zoomTo: (resolution: number) => void;
  readonly zoomBy: (factor: number) => void;
  readonly fit: () => void;
}

export class ZoomBar {
  readonly element: HTMLElement;
  readonly scaleElement: HTMLElement;
  private readonly now = h("output", { class: "magnification", "aria-label": "Magnification" });
  private readonly bar = h("span", { class: "bar" });
  private readonly length = h("span", { class: "length" });
  private readonly steps: ReadonlyMap<number, HTMLButtonElement>;

  constructor(
    private readonly scale: Scale,
    actions: ZoomActions,
  ) {
    this.steps = new Map(offered(scale).map((step) => [step, this.stepButton(step, actions)]));
    this.element = h(
      "div",
      { class: "zoom", role: "toolbar", "aria-label": "Zoom" },
      button("Zoom out", ICON.minus, () => actions.zoomBy(0.5)),
      this.now,
      button("Zoom in", ICON.plus, () => actions.zoomBy(2)),
      h("span", { class: "rule" }),
      ...this.steps.values(),
      button("Fit the whole slide", ICON.fit, actions.fit),
    );
    this.scaleElement = h("div", { class: "scale", role: "img" }, this.length, this.bar);
  }

  show(resolution: number): void {
    const magnification = magnificationAt(this.scale, resolution);
    this.now.textContent =
      magnification === undefined
        ? `${Number((100 / resolution).toPrecision(2))} %`
        : formatMagnification(magnification);
    for (const [step, element] of this.steps) {
      const isNow = magnification !== undefined && Math.abs(magnification / step - 1) < 0.02;
      element.setAttribute("aria-pressed", String(isNow));
    }
    const { micrometres } = this.scale;
    this.scaleElement.hidden = micrometres === undefined;
    if (micrometres === undefined) return;
    const { pixels, label } = scaleBar(micrometres, resolution, BAR_PIXELS);
    this.bar.style.width = `${pixels.toFixed(1)}px`;
    this.length.textContent = label;
    this.scaleElement.setAttribute("aria-label", `The bar is ${label} long`);
  }

  private stepButton(step: number, actions: ZoomActions): HTMLButtonElement {
    const go = (): void => actions.zoomTo(resolutionAt(this.scale, step) ?? 1);
    return h(
      "button",
      { class: "step", type: "button", "aria-label": `${step} times`, onclick: go },
      `${step}×`,
    );
  }
}

/** The steps that a slide has pixels for. */
export function offered(scale: Scale): number[] {
  return STEPS.filter((step) => (resolutionAt(scale, step) ?? 0) >= COARSEST);
}

export function button(label: string, path: string, onclick: () => void): HTMLButtonElement {
  return h("button", { class: "round", type: "button", "aria-label": label, title: label, onclick }, icon(path));
}
