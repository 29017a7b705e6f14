/** The whole slide in a corner, with a frame around what is seen; a click goes there. */

import { h } from "../dom";

const SIDE = 190;

export class Overview {
  readonly element: HTMLElement;
  private readonly frame = h("span", { class: "frame" });

  constructor(
    private readonly columns: number,
    private readonly rows: number,
    picture: HTMLElement,
    goTo: (x: number, y: number) => void,
  ) {
    const stage = h("div", { class: "stage" }, picture, this.frame);
    const shrink = SIDE / Math.max(columns, rows);
    stage.style.setProperty("--width", `${Math.round(columns * shrink)}px`);
    stage.style.setProperty("--height", `${Math.round(rows * shrink)}px`);
    // For the pointer alone: the keyboard moves the slide itself.
    this.element = h("div", { class: "overview", "aria-hidden": "true" }, stage);
    const follow = (event: PointerEvent): void => {
      const box = stage.getBoundingClientRect();
      goTo(
        ((event.clientX - box.left) / box.width) * columns,
        ((event.clientY - box.top) / box.height) * rows,
      );
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) follow(event);
    });
  }

  /** Draw the frame around left, top, right, bottom, in base pixels. */
  show([left, top, right, bottom]: readonly [number, number, number, number]): void {
    const part = (value: number, whole: number) =>
      `${(Math.min(1, Math.max(0, value / whole)) * 100).toFixed(2)}%`;
    const { style } = this.frame;
    style.left = part(left, this.columns);
    style.top = part(top, this.rows);
    style.width = part(Math.min(right, this.columns) - Math.max(left, 0), this.columns);
    style.height = part(Math.min(bottom, this.rows) - Math.max(top, 0), this.rows);
    const all = left <= 0 && top <= 0 && right >= this.columns && bottom >= this.rows;
    this.element.classList.toggle("all", all);
  }
}
