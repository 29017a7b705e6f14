/**
 * Fetches few tiles at a time, those in view first. What is no longer in view is aborted and
 * waits until nothing else does; OpenLayers would show an aborted tile as failed for good.
 */

import { isAbort } from "./dicom/failure";

/** Browsers open six connections to a host over HTTP/1.1; one more request would only queue. */
const PARALLEL = 6;

interface Job {
  readonly wanted: () => boolean;
  readonly run: (signal: AbortSignal) => Promise<void>;
  abort: AbortController | undefined;
  /** Aborted by {@link Scheduler.reconsider}, not by whoever asked. */
  deferred: boolean;
}

export class Scheduler {
  private readonly waiting: Job[] = [];
  private readonly running = new Set<Job>();

  constructor(private readonly parallel = PARALLEL) {}

  /**
   * Run a task when its turn comes.
   *
   * @param wanted - whether the result is still looked for; asked again and again
   * @param signal - gives the task up for good
   */
  add<T>(
    task: (signal: AbortSignal) => Promise<T>,
    wanted: () => boolean,
    signal: AbortSignal,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const job: Job = {
        wanted,
        abort: undefined,
        deferred: false,
        run: async (own) => {
          try {
            resolve(await task(own));
          } catch (error) {
            if (job.deferred && isAbort(error) && !signal.aborted) this.waiting.unshift(job);
            else reject(error as Error);
          }
        },
      };
      signal.addEventListener("abort", () => {
        const at = this.waiting.indexOf(job);
        if (at >= 0) this.waiting.splice(at, 1);
        job.abort?.abort();
        reject(new DOMException("given up", "AbortError"));
      });
      this.waiting.push(job);
      // Tiles of one picture are asked for in one go, the middle first: keep that order.
      queueMicrotask(() => this.next());
    });
  }

  /** Abort what is out of view; call it when the view has moved. */
  reconsider(): void {
    const anyWanted = this.waiting.some((job) => job.wanted());
    for (const job of anyWanted ? this.running : []) {
      if (job.wanted()) continue;
      job.deferred = true;
      job.abort?.abort();
    }
    this.next();
  }

  private next(): void {
    while (this.running.size < this.parallel && this.waiting.length > 0) {
      const at = this.waiting.findIndex((job) => job.wanted());
      const job = this.waiting.splice(Math.max(at, 0), 1)[0]!;
      job.deferred = false;
      job.abort = new AbortController();
      this.running.add(job);
      void job.run(job.abort.signal).finally(() => {
        this.running.delete(job);
        this.next();
      });
    }
  }
}
