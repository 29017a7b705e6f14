/** Small pictures in `img` elements. They are fetched, as an `img` cannot carry a token. */

import { isAbort } from "./dicom/failure";
import { h } from "./dom";

const PARALLEL = 4;
const queue: (() => Promise<void>)[] = [];
let running = 0;

function next(): void {
  while (running < PARALLEL) {
    const job = queue.shift();
    if (!job) return;
    running += 1;
    void job().finally(() => {
      running -= 1;
      next();
    });
  }
}

/** A picture that is fetched when it comes into view; a class tells how that went. */
export function picture(
  load: (signal: AbortSignal) => Promise<Blob>,
  alt: string,
  signal: AbortSignal,
): HTMLElement {
  const frame = h("span", { class: "picture loading" });
  const show = async (): Promise<void> => {
    if (signal.aborted) return;
    try {
      const url = URL.createObjectURL(await load(signal));
      const image = h("img", { alt, src: url, decoding: "async" });
      signal.addEventListener("abort", () => URL.revokeObjectURL(url));
      await image.decode();
      frame.replaceChildren(image);
      frame.className = "picture shown";
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      // A slide without a picture is still a slide: the list must not fail for it.
      frame.className = "picture failed";
      frame.replaceChildren(h("span", {}, "no picture"));
    }
  };
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      queue.push(show);
      next();
    },
    { rootMargin: "200px" },
  );
  observer.observe(frame);
  signal.addEventListener("abort", () => observer.disconnect());
  return frame;
}
