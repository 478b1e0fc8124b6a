/** What kept an event from being rendered, in our own words: nothing of the template or of the event is in it. */
export class TemplateFailure extends Error {
  /** It took too long. Another time it may not: the machine may have been busy. */
  readonly isSlow: boolean;

  constructor(message: string, isSlow = false) {
    super(message);
    this.isSlow = isSlow;
  }
}
