/** The slide itself: OpenLayers on a canvas, with nothing but tiles. */

import OlMap from "ol/Map.js";
import View from "ol/View.js";
import { defaults as defaultInteractions } from "ol/interaction/defaults.js";
import TileLayer from "ol/layer/Tile.js";
import Projection from "ol/proj/Projection.js";
import type { DicomWebClient } from "../dicom/client";
import type { Slide } from "../dicom/slide";
import { gridOf } from "../pyramid";
import { Scheduler } from "../scheduler";
import { tileSource } from "./tile-source";

const ANIMATION_MS = 180;
/** A base pixel may become a square of so many pixels of the screen. */
const DEEPEST = 4;
/** OpenLayers hands so many tiles over at a time; the scheduler fetches fewer. */
const HANDED_OVER = 24;
/** Zoomed out all the way, the slide's longer side is so many pixels of the screen. */
const SMALLEST = 160;
/** Around a fitted slide, in pixels of the screen: what floats above it lies at top and bottom. */
const MARGIN_ACROSS = 24;
const MARGIN_DOWN = 80;

/** OpenLayers moves the limits to whole steps of two from each other: so they have to be. */
function coarsest(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast * DEEPEST)) / DEEPEST;
}

export interface SlideMapEvents {
  /** The view has moved or is moving. */
  readonly moved: () => void;
  readonly tileFailed: (failure: unknown) => void;
}

export class SlideMap {
  private readonly map: OlMap;
  private readonly view: View;
  private readonly source: ReturnType<typeof tileSource>;
  private readonly scheduler = new Scheduler();
  private readonly extent: [number, number, number, number];
  private readonly sizes: ResizeObserver;
  private isFitted = true;

  constructor(
    private readonly element: HTMLElement,
    client: DicomWebClient,
    slide: Slide,
    profile: Promise<Uint8Array>,
    events: SlideMapEvents,
  ) {
    this.extent = gridOf(slide.levels).extent;
    const projection = new Projection({ code: "SLIDE", units: "pixels", extent: this.extent });
    this.view = new View({
      projection,
      center: [this.extent[2] / 2, this.extent[1] / 2],
      extent: this.extent,
      constrainOnlyCenter: true,
      smoothResolutionConstraint: false, // it would never quite reach the limits
      showFullExtent: true,
      minResolution: 1 / DEEPEST,
      maxResolution: coarsest(Math.max(this.extent[2], -this.extent[1]) / SMALLEST),
      resolution: this.fitResolution(),
    });
    this.source = tileSource(client, slide, profile, projection, this.scheduler, {
      wanted: (z, x, y) => this.isInView(z, x, y),
      failed: events.tileFailed,
    });
    // OpenLayers takes a revision of zero for none, and would pass over the first refresh.
    this.source.changed();
    element.dataset["state"] = "loading";
    this.map = new OlMap({
      target: element,
      controls: [],
      interactions: defaultInteractions({
        keyboard: false, // ours moves by the same keys everywhere, and says so
        altShiftDragRotate: false,
        pinchRotate: false,
        onFocusOnly: false,
      }),
      layers: [new TileLayer({ source: this.source, extent: this.extent, preload: 0 })],
      view: this.view,
      maxTilesLoading: HANDED_OVER,
    });
    this.listen(events);
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(element);
  }

  /** Base pixels a pixel of the screen. */
  get resolution(): number {
    return this.view.getResolution() ?? 1;
  }

  /** What is seen, in base pixels from the top left corner: left, top, right, bottom. */
  get seen(): [number, number, number, number] {
    const [left = 0, bottom = 0, right = 0, top = 0] = this.view.calculateExtent(
      this.map.getSize() ?? [1, 1],
    );
    return [left, -top, right, -bottom];
  }

  zoomTo(resolution: number): void {
    this.isFitted = false;
    this.view.cancelAnimations();
    const within = Math.min(this.view.getMaxResolution(), Math.max(1 / DEEPEST, resolution));
    this.animate({ resolution: within });
  }

  zoomBy(factor: number): void {
    this.zoomTo(this.resolution / factor);
  }

  /** Move by parts of what is seen, to the right and down. */
  panBy(right: number, down: number): void {
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    const [x = 0, y = 0] = this.view.getCenter() ?? [];
    const step = Math.min(width, height) * this.resolution;
    this.moveTo([x + right * step, y - down * step]);
  }

  /** Put a point, in base pixels from the top left corner, into the middle. */
  centreOn(x: number, y: number): void {
    this.moveTo([x, -y]);
  }

  fit(): void {
    this.animate({
      center: [this.extent[2] / 2, this.extent[1] / 2],
      resolution: this.fitResolution(),
    });
    this.isFitted = true;
  }

  /** Ask again for tiles that failed. */
  retry(): void {
    this.element.dataset["state"] = "loading";
    this.source.refresh();
  }

  dispose(): void {
    this.sizes.disconnect();
    this.map.setTarget(undefined);
    this.map.dispose();
    this.source.clear(); // aborts what is under way
  }

  private moveTo(center: [number, number]): void {
    this.isFitted = false;
    const [left, bottom, right, top] = this.extent;
    const clamp = (value: number, low: number, high: number) =>
      Math.min(high, Math.max(low, value));
    this.view.cancelAnimations();
    this.animate({ center: [clamp(center[0], left, right), clamp(center[1], bottom, top)] });
  }

  private animate(goal: { center?: [number, number]; resolution?: number }): void {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.view.animate({ ...goal, duration: still ? 0 : ANIMATION_MS });
  }

  private fitResolution(): number {
    const width = Math.max(this.element.clientWidth - 2 * MARGIN_ACROSS, 64);
    const height = Math.max(this.element.clientHeight - 2 * MARGIN_DOWN, 64);
    const [, bottom, right] = this.extent;
    return Math.max(right / width, -bottom / height, 1 / DEEPEST);
  }

  private resized(): void {
    this.map.updateSize();
    const fit = this.fitResolution();
    // A view that showed all of the slide goes on doing so.
    if (this.isFitted) this.view.setResolution(fit);
  }

  private listen(events: SlideMapEvents): void {
    this.map.on("rendercomplete", () => {
      this.element.dataset["state"] = "rendered";
    });
    this.map.on("movestart", () => {
      this.element.dataset["state"] = "loading";
    });
    this.map.on("pointerdrag", () => {
      this.isFitted = false;
    });
    this.view.on("change:resolution", () => {
      if (!this.view.getAnimating()) this.isFitted = false;
    });
    this.map.on("postrender", events.moved);
    this.map.on("moveend", () => this.scheduler.reconsider());
  }

  private isInView(z: number, x: number, y: number): boolean {
    const grid = this.source.getTileGrid();
    const size = this.map.getSize();
    if (!grid || !size) return true;
    const now = grid.getZForResolution(this.resolution, this.source.zDirection);
    if (z !== now) return false;
    const [left = 0, bottom = 0, right = 0, top = 0] = grid.getTileCoordExtent([z, x, y]);
    const [l = 0, b = 0, r = 0, t = 0] = this.view.calculateExtent(size);
    return left < r && right > l && bottom < t && top > b;
  }
}
