import { Job, type Queue, type JobsOptions } from 'bullmq';

/** Stands for the data until it is written, so that the library prints nothing of it. */
const WRITTEN_LATER = { toJSON: () => 0 };

export interface EnvelopeJobOptions {
  readonly name: string;
  /** JSON, which is written as it is: a parse and a print would change long numbers. */
  readonly data: string;
  readonly id: string;
  readonly options: JobsOptions;
}

/** A job whose data is the envelope. */
export class EnvelopeJob extends Job {
  private readonly text: string;

  constructor(queue: Queue, { name, data, id, options }: EnvelopeJobOptions) {
    super(queue, name, WRITTEN_LATER, { ...options, jobId: id }, id);
    this.text = data;
  }

  override asJSON(): ReturnType<Job['asJSON']> {
    return { ...super.asJSON(), data: this.text };
  }
}

/**
 * The id of the event, in a form that BullMQ takes: percent-encoded where it holds a colon or is a whole number.
 * `decodeURIComponent` gives the event's id back, so two events never share a job.
 */
export function jobIdOf(eventId: string): string {
  const encoded = /[:%]/.test(eventId) ? eventId.replaceAll('%', '%25').replaceAll(':', '%3A') : eventId;
  if (!/^-?\d+$/.test(encoded)) return encoded;
  return `%${encoded.charCodeAt(0).toString(16).toUpperCase()}${encoded.slice(1)}`;
}
