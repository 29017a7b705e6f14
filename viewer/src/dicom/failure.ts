/** What can go wrong with a request, by what the user can do about it. */

export type FailureKind =
  | "offline" // nobody answers
  | "unauthorized" // a token is needed
  | "forbidden"
  | "not-found"
  | "unavailable" // the server is there, what it stands on is not
  | "unacceptable" // not to be had in a form that we read
  | "broken"; // everything else

export class Failure extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    /** What the server says itself (RFC 9457 `detail`). */
    readonly detail: string = "",
  ) {
    super(message);
    this.name = "Failure";
  }
}

export function kindOfStatus(status: number): FailureKind {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404 || status === 410) return "not-found";
  if (status === 406 || status === 415) return "unacceptable";
  if (status === 502 || status === 503 || status === 504) return "unavailable";
  return "broken";
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure("broken", error instanceof Error ? error.message : String(error));
}
