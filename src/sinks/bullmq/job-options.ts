/** Options of a job: those of the configuration, and those that the headers of the event set. */
import type { JobsOptions } from 'bullmq';
import { type JobOptionName, jobOptions } from '../../config/sinks/bullmq.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { Event } from '../../event.ts';
import { wireString, wireToText } from '../../wire-text.ts';

type Settings = SinkConfigOf<'bullmq'>['job_options'];

export interface FoundOptions {
  readonly options: JobsOptions;
  /** The rule that a header breaks, without its value. */
  readonly problem?: string;
}

export function jobOptionsOf(config: Pick<SinkConfigOf<'bullmq'>, 'job_options' | 'options_from_headers'>) {
  const configured: FoundOptions = { options: bullOptions(config.job_options) };
  return ({ headers }: Pick<Event, 'headers'>): FoundOptions => {
    if (config.options_from_headers.length === 0 || wireString(headers) === '{}') return configured;
    return fromHeaders(JSON.parse(wireToText(headers)) as Record<string, unknown>, config);
  };
}

function fromHeaders(
  headers: Readonly<Record<string, unknown>>,
  config: Pick<SinkConfigOf<'bullmq'>, 'job_options' | 'options_from_headers'>,
): FoundOptions {
  const settings: Record<string, unknown> = { ...config.job_options };
  for (const name of config.options_from_headers) {
    if (!Object.hasOwn(headers, name)) continue;
    const parsed = jobOptions[name].safeParse(headers[name]);
    if (!parsed.success) return { options: {}, problem: `the header ${name} is no ${RULES[name]}` };
    settings[name] = parsed.data;
  }
  return { options: bullOptions(settings) };
}

const RULES: Readonly<Record<JobOptionName, string>> = {
  delay: 'whole number of milliseconds from 0 to one year',
  priority: 'whole number from 0 to 2097152',
  attempts: 'whole number from 1 to 1000',
  backoff: 'whole number of milliseconds, nor an object with type (fixed, exponential) and delay',
  remove_on_complete: 'boolean, nor a number of jobs, nor an object with age and count',
  remove_on_fail: 'boolean, nor a number of jobs, nor an object with age and count',
};

function bullOptions({
  delay,
  priority,
  attempts,
  backoff,
  remove_on_complete,
  remove_on_fail,
}: Settings): JobsOptions {
  const named = {
    delay,
    priority,
    attempts,
    backoff,
    removeOnComplete: remove_on_complete,
    removeOnFail: remove_on_fail,
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}
