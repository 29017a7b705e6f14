/** The page of one slide: the map and what lies around it. */

import type { DicomWebClient, SeriesPath } from "../dicom/client";
import { asFailure, isAbort } from "../dicom/failure";
import { profileOf, slideOf, type Slide } from "../dicom/slide";
import type { Dataset } from "../dicom/json";
import { h, ICON, setState } from "../dom";
import { KEY_STEP, type KeyActions } from "../keyboard";
import { resolutionAt } from "../magnification";
import { picture } from "../pictures";
import { WORKLIST_HASH } from "../router";
import { slidesOf } from "../worklist";
import { failureNotice } from "./notice";
import { Overview } from "./overview";
import { Panel } from "./panel";
import { SlideMap } from "./slide-map";
import { button, ZoomBar } from "./zoom-bar";

const OVERVIEW_SIDE = 400;

export interface OpenSlide {
  readonly keys: KeyActions;
  readonly close: () => void;
}

/**
 * Show a slide in `root`. Everything that is under way ends with `close`.
 *
 * @param metadata - of the series, as they were already asked for
 */
export function openSlide(
  root: HTMLElement,
  client: DicomWebClient,
  path: SeriesPath,
  metadata: Promise<Dataset[]>,
): OpenSlide {
  let asked: Promise<Dataset[]> | undefined = metadata;
  let map: SlideMap | undefined;
  let slide: Slide | undefined;
  let end = new AbortController();

  const start = async (): Promise<void> => {
    end.abort();
    end = new AbortController();
    const { signal } = end;
    map?.dispose();
    map = undefined;
    setState("loading");
    root.replaceChildren(h("div", { class: "waiting", role: "status" }, "Opening the slide…"));
    // The other slides of the case come in their own time.
    const siblings = slidesOf(client, [path.study], signal);
    siblings.catch(() => undefined); // the slide's own failure is told; without siblings it does
    try {
      const instances = asked ?? client.metadata(path, signal);
      asked = undefined; // a second try asks anew
      slide = slideOf(path, await instances);
      if (signal.aborted) return;
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      root.replaceChildren(failureNotice(asFailure(error), () => void start()));
      return;
    }
    const parts = build(root, client, slide, signal);
    map = parts.map;
    setState("slide");
    siblings.then((found) => parts.panel.showSiblings(found)).catch(() => undefined);
  };

  void start();
  return {
    keys: {
      pan: (right, down) => map?.panBy(right * KEY_STEP, down * KEY_STEP),
      zoom: (factor) => map?.zoomBy(factor),
      magnify: (step) => {
        const resolution = slide && resolutionAt(slide.scale, step);
        if (resolution !== undefined) map?.zoomTo(resolution);
      },
      fit: () => map?.fit(),
    },
    close: () => {
      end.abort();
      map?.dispose();
    },
  };
}

function build(
  root: HTMLElement,
  client: DicomWebClient,
  slide: Slide,
  signal: AbortSignal,
): { map: SlideMap; panel: Panel } {
  const stage = h("div", {
    class: "map",
    tabindex: "0",
    role: "application",
    "aria-label":
      "The slide. Arrow keys move, plus and minus zoom, digits choose a magnification, F fits.",
  });
  const panel = new Panel(client, slide, signal);
  const profile = profileOf(client, slide, signal);
  profile.then(
    (found) => panel.showProfile(found),
    (error: unknown) => !isAbort(error) && panel.showProfile(undefined),
  );
  const zoom = new ZoomBar(slide.scale, {
    zoomTo: (resolution) => map.zoomTo(resolution),
    zoomBy: (factor) => map.zoomBy(factor),
    fit: () => map.fit(),
  });
  const smallest = { ...slide.path, instance: slide.levels[0]!.instance };
  const overview = new Overview(
    slide.base.columns,
    slide.base.rows,
    picture((own) => client.thumbnail(smallest, OVERVIEW_SIDE, own), "", signal),
    (x, y) => map.centreOn(x, y),
  );
  const trouble = new Trouble(() => map.retry());
  const view = h("main", { class: "slide" });
  view.append(
    h("div", { class: "viewport" }, stage, header(slide, view), zoom.element, zoom.scaleElement, overview.element, trouble.element),
    panel.element,
  );
  root.replaceChildren(view);
  const map = new SlideMap(stage, client, slide, profile.then((found) => found.bytes), {
    moved: () => {
      zoom.show(map.resolution);
      overview.show(map.seen);
      stage.dataset["seen"] = map.seen.join(" ");
    },
    tileFailed: () => trouble.show(),
  });
  stage.focus({ preventScroll: true });
  return { map, panel };
}

function header(slide: Slide, view: HTMLElement): HTMLElement {
  const { facts } = slide;
  const toggle = button("Slide data", ICON.info, () => {
    view.classList.toggle("panel-toggled");
    tell();
  });
  toggle.classList.add("toggle");
  toggle.setAttribute("aria-controls", "panel");
  // It is there from the start where the screen is wide enough, and hidden by the button.
  const narrow = window.matchMedia("(max-width: 720px)");
  const tell = (): void => {
    const isShown = view.classList.contains("panel-toggled") === narrow.matches;
    toggle.setAttribute("aria-expanded", String(isShown));
  };
  tell();
  const back = button("Back to all cases", ICON.back, () => {
    location.hash = WORKLIST_HASH;
  });
  const title = facts.container || "Slide";
  const under = [facts.stains.join(", "), facts.patient, facts.accession].filter(Boolean);
  return h(
    "header",
    { class: "title" },
    back,
    h("div", {}, h("h1", {}, title), under.length > 0 && h("p", {}, under.join(" · "))),
    toggle,
  );
}

/** One line while tiles fail; it goes away by itself when they are asked for again. */
class Trouble {
  readonly element: HTMLElement;

  constructor(retry: () => void) {
    const again = h("button", { type: "button" }, "Try again");
    this.element = h(
      "div",
      { class: "trouble", role: "alert", hidden: true },
      h("span", {}, "Parts of the slide could not be loaded."),
      again,
    );
    again.addEventListener("click", () => {
      this.element.hidden = true;
      retry();
    });
  }

  show(): void {
    this.element.hidden = false;
  }
}
