/** What keys do on the page of a slide, and which of them belong to a field instead. */

export interface KeyActions {
  readonly pan: (right: number, down: number) => void;
  readonly zoom: (factor: number) => void;
  readonly magnify: (step: number) => void;
  readonly fit: () => void;
}

/** An arrow key moves by this part of the shorter side. */
export const KEY_STEP = 0.25;

const DIGITS: Readonly<Record<string, number>> = { "1": 1, "2": 5, "3": 10, "4": 20, "5": 40 };
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Do what a key stands for; returns whether it stood for anything. */
export function press(key: string, actions: KeyActions): boolean {
  const arrow = ARROWS[key];
  const step = DIGITS[key];
  if (arrow) actions.pan(...arrow);
  else if (step !== undefined) actions.magnify(step);
  else if (key === "+" || key === "=") actions.zoom(2);
  else if (key === "-" || key === "_") actions.zoom(0.5);
  else if (key === "f" || key === "F" || key === "0") actions.fit();
  else return false;
  return true;
}

/** Whether a key pressed there is typing, or works the thing itself. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.closest("dialog") !== null)
  );
}
