/**
 * The verbs of everything that lives long: start it, let it finish what it holds, let it go.
 *
 * `run` resolves when the signal aborts and rejects when the thing cannot go on; `drain` takes in nothing new and
 * resolves when nothing is held any more; disposing releases what is left, in any state, more than once.
 */
export interface Service extends AsyncDisposable {
  run(signal: AbortSignal): Promise<void>;
  drain(): Promise<void>;
}
