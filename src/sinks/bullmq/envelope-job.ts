import { Job, type JobJson, type JobsOptions, type Queue } from 'bullmq';

export interface EnvelopeJob {
  readonly name: string;
  /** JSON, which is written as it is: a parse and a print would change long numbers. */
  readonly data: Buffer;
  readonly id: string;
}

/**
 * Makes jobs whose data is the envelope, in the form that the library stores. What is the same for all jobs with these options
 * is made and checked once, by the library.
 */
export function envelopeJobs(queue: Queue, options: JobsOptions): (job: EnvelopeJob) => JobJson {
  const { jobData: same } = new Job(queue, '', {}, options).toFlowEntry();
  return ({ name, data, id }) => ({
    ...same,
    id,
    name,
    // The library hands it on as it is; a string would be decoded here, counted and encoded again.
    data: data as unknown as string,
    opts: { ...same.opts, jobId: id },
    timestamp: Date.now(),
  });
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
