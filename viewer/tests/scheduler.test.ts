import { expect, test } from "vitest";
import { Scheduler } from "../src/scheduler";

/** A task that ends when it is told to, and notes when it was started and aborted. */
class Task {
  started = 0;
  aborted = 0;
  wanted = true;
  readonly control = new AbortController();
  private resolve: (() => void) | undefined;
  readonly done: Promise<string>;

  constructor(scheduler: Scheduler, name: string) {
    this.done = scheduler.add(
      (signal) => {
        this.started += 1;
        return new Promise<string>((resolve, reject) => {
          this.resolve = () => resolve(name);
          signal.addEventListener("abort", () => {
            this.aborted += 1;
            reject(new DOMException("aborted", "AbortError"));
          });
        });
      },
      () => this.wanted,
      this.control.signal,
    );
    this.done.catch(() => undefined);
  }

  finish(): void {
    this.resolve?.();
  }
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 0));

test("no more tasks run at a time than allowed", async () => {
  const scheduler = new Scheduler(2);
  const [a, b, c] = ["a", "b", "c"].map((name) => new Task(scheduler, name)) as [Task, Task, Task];
  await soon();
  expect([a.started, b.started, c.started]).toEqual([1, 1, 0]);
  a.finish();
  expect(await a.done).toBe("a");
  await soon();
  expect(c.started).toBe(1);
});

test("what has left the view makes room, and is done when nothing else waits", async () => {
  const scheduler = new Scheduler(1);
  const gone = new Task(scheduler, "gone");
  await soon();
  const seen = new Task(scheduler, "seen");
  gone.wanted = false;
  scheduler.reconsider();
  await soon();
  expect([gone.aborted, seen.started]).toEqual([1, 1]);
  seen.finish();
  await seen.done;
  await soon();
  expect(gone.started).toBe(2);
  gone.finish();
  expect(await gone.done).toBe("gone");
});

test("what nobody competes with is not aborted", async () => {
  const scheduler = new Scheduler(2);
  const alone = new Task(scheduler, "alone");
  await soon();
  alone.wanted = false;
  scheduler.reconsider();
  expect(alone.aborted).toBe(0);
});

test("what is given up neither starts nor holds its place", async () => {
  const scheduler = new Scheduler(1);
  const first = new Task(scheduler, "first");
  const second = new Task(scheduler, "second");
  second.control.abort();
  await soon();
  first.control.abort();
  await soon();
  await expect(second.done).rejects.toThrow("given up");
  expect([first.aborted, second.started]).toEqual([1, 0]);
  const third = new Task(scheduler, "third");
  await soon();
  expect(third.started).toBe(1);
});

test("a failure is told", async () => {
  const scheduler = new Scheduler(1);
  const failing = scheduler.add(() => Promise.reject(new Error("no such frame")), () => true, new AbortController().signal);
  await expect(failing).rejects.toThrow("no such frame");
});
