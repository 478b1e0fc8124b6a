/** The part of the list in errors.ts that is about packages and modules of the user. */
import { entry, type ErrorEntry } from './error-entry.ts';

export const SINK_CODES = {
  SINK_PACKAGE_MISSING: entry(
    'usage',
    'A sink needs a package that is not installed.',
    'Install the package that is named.',
  ),
  SINK_MODULE_MISSING: entry(
    'usage',
    'The module of a sink is not there.',
    'Correct the path: it is relative to the configuration file.',
  ),
  SINK_MODULE_FAILED: entry(
    'usage',
    'The module of a sink threw an error of its own.',
    'Repair what the sentence above names; `node <the file>` shows where.',
  ),
  SINK_MODULE_INVALID: entry(
    'usage',
    'The module of a sink does not export a sink.',
    "Write `export default defineSink({ contract: 1, create })`, with `defineSink` from 'walpost/sink'.",
  ),
  SINK_CONTRACT: entry(
    'usage',
    'The module of a sink was written for another contract version.',
    'Install the version of the module that fits this walpost, or adapt the module.',
  ),
  TRACING_UNAVAILABLE: entry(
    'usage',
    'Traces are asked for by OTEL_… variables and cannot be sent.',
    'Install the packages that are named, or set OTEL_SDK_DISABLED=true.',
  ),
} as const satisfies Readonly<Record<string, ErrorEntry>>;
