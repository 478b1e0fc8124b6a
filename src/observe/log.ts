import { pino, type Logger as PinoLogger } from 'pino';
import { messageOf } from '../errors.ts';
import { wantsColor } from './color.ts';
import { prettyLine } from './pretty-line.ts';
import { printableJsonText } from './printable.ts';
import { CENSOR, REDACTED_PATHS, scrub } from './redact.ts';

/** Takes fields first, then the message: `log.info({ sink }, 'sink opened')`. */
export type Logger = PinoLogger;

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** By default pretty on a terminal, else json. */
  readonly format?: 'json' | 'pretty' | undefined;
  /** Where lines go; standard error by default. */
  readonly destination?: LogDestination;
}

export interface LogDestination {
  readonly isTTY?: boolean;
  /** Of a terminal, as wide as it is now. */
  readonly columns?: number;
  write(line: string): unknown;
}

export function createLog(options: LogOptions): Logger {
  const destination = options.destination ?? process.stderr;
  const format = options.format ?? (destination.isTTY ? 'pretty' : 'json');
  const color = wantsColor(destination);
  const write = (line: string): unknown =>
    destination.write(
      format === 'pretty' ? prettyLine(line, color, destination.columns || undefined) : printableJsonText(line),
    );
  const withStack = options.level === 'debug';
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED_PATHS, censor: CENSOR },
      serializers: { err: (error: unknown) => describeError(error, withStack), event: describeEvent },
      errorKey: 'err',
      hooks: {
        logMethod(given, method) {
          method.apply(this, given.map((part) => (typeof part === 'string' ? scrub(part) : part)) as typeof given);
        },
      },
    },
    { write: (line: string) => void write(line) },
  );
}

/** An event is its id; the rest is the application's. */
function describeEvent(event: unknown): unknown {
  return typeof event === 'object' && event !== null && 'eventId' in event ? { event_id: event.eventId } : CENSOR;
}

/** What is known of an error without its details: those of a server's error quote rows. */
function describeError(error: unknown, withStack: boolean, depth = 0): Record<string, unknown> {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  const cause = error instanceof Error ? error.cause : undefined;
  return {
    ...(typeof code === 'string' && { code }),
    message: scrub(messageOf(error)),
    ...(cause !== undefined && depth < 3 && { cause: describeError(cause, withStack, depth + 1) }),
    ...(withStack && error instanceof Error && error.stack && { stack: scrub(error.stack) }),
  };
}
