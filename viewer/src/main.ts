/** Puts the page together: configuration, addresses, keys, and one view at a time. */

import "./style.css";
import { loadConfig } from "./config";
import { DicomWebClient, type SeriesPath } from "./dicom/client";
import { isTyping, press } from "./keyboard";
import { parseHash, WORKLIST_HASH } from "./router";
import type { OpenSlide } from "./views/slide-view";
import { WorklistView } from "./views/worklist-view";

// OpenLayers is most of the code and none of the worklist: it comes beside the first requests.
const slideModule = import("./views/slide-view");

class Page {
  private readonly worklist: WorklistView;
  private wasListed = false;
  private scrolled = 0;
  private open: OpenSlide | undefined;
  private shown = 0;

  constructor(
    private readonly root: HTMLElement,
    private readonly client: DicomWebClient,
    worklist: WorklistView,
  ) {
    this.worklist = worklist;
    window.addEventListener("hashchange", () => this.show());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  show(): void {
    const route = parseHash(location.hash);
    if (!this.open && this.wasListed) this.scrolled = window.scrollY;
    this.open?.close();
    this.open = undefined;
    this.shown += 1;
    if (route.name === "slide") void this.showSlide(route.path, this.shown);
    else this.showWorklist();
  }

  private showWorklist(): void {
    this.root.replaceChildren(this.worklist.element);
    document.title = "Coverslip";
    // Asked anew each time: slides come in while others are looked at.
    this.worklist.reload();
    this.wasListed = true;
    window.scrollTo(0, this.scrolled);
  }

  private async showSlide(path: SeriesPath, turn: number): Promise<void> {
    // Asked for while the code that shows it may still be on its way.
    const metadata = this.client.metadata(path);
    metadata.catch(() => undefined); // told by whoever awaits it
    const { openSlide } = await slideModule;
    if (turn !== this.shown) return; // another address was chosen meanwhile
    document.title = "Slide – Coverslip"; // titles end up in histories: nothing of the patient
    this.open = openSlide(this.root, this.client, path, metadata);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target)) return;
    if (this.open) {
      if (event.key === "Escape") location.hash = WORKLIST_HASH;
      else if (!press(event.key, this.open.keys)) return;
    } else if (event.key === "/") this.worklist.focusSearch();
    else return;
    event.preventDefault();
  }
}

async function start(): Promise<void> {
  const root = document.getElementById("app");
  if (!root) throw new Error("the page has no #app");
  const config = await loadConfig();
  const client = new DicomWebClient(config.dicomwebUrl);
  new Page(root, client, new WorklistView(client, config)).show();
}

void start();
