/**
 * What the signals of a running process mean.
 *
 * The first SIGTERM or SIGINT ends it in good order, a second one at once, with 1. SIGHUP reads the configuration again; in a
 * terminal it means that the terminal is gone, and ends the process. Other signals would end a process without a word by
 * default; they are ignored with a line.
 */
import { constants } from 'node:os';
import type { Logger } from '../observe/log.ts';
import { EXIT } from './exit-code.ts';

const STOPS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];
const MEANINGLESS: readonly NodeJS.Signals[] = ['SIGUSR1', 'SIGUSR2', 'SIGQUIT', 'SIGALRM', 'SIGIO', 'SIGPWR'];

export interface RunSignalActions {
  readonly onStop: (signal: NodeJS.Signals) => void;
  readonly onReload: () => void;
}

export class RunSignals implements Disposable {
  /** Where lines go; each configuration has a log of its own. */
  log: Logger;
  private readonly actions: RunSignalActions;
  private readonly handlers: readonly (readonly [NodeJS.Signals, () => void])[];
  private isStopping = false;

  constructor(log: Logger, actions: RunSignalActions) {
    this.log = log;
    this.actions = actions;
    const all = [...STOPS, 'SIGHUP' as const, ...MEANINGLESS].filter((signal) => signal in constants.signals);
    this.handlers = all.map((signal) => [signal, () => this.take(signal)]);
    for (const [signal, handler] of this.handlers) process.on(signal, handler);
  }

  [Symbol.dispose](): void {
    for (const [signal, handler] of this.handlers) process.off(signal, handler);
  }

  private take(signal: NodeJS.Signals): void {
    if (MEANINGLESS.includes(signal)) {
      return this.log.warn(
        { signal },
        'the signal means nothing here and is ignored (SIGTERM ends, SIGHUP reads the file)',
      );
    }
    if (signal === 'SIGHUP' && !process.stdin.isTTY) {
      if (this.isStopping) return this.log.info({ signal }, 'the file is not read again: the process is ending');
      return this.actions.onReload();
    }
    if (this.isStopping) {
      this.log.warn({ signal }, 'told to stop a second time: ending at once, and what is not confirmed comes again');
      process.exit(EXIT.failed);
    }
    this.isStopping = true;
    this.actions.onStop(signal);
  }
}
