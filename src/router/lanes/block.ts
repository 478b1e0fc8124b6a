/** What holds a lane until a person has dealt with its dead letters. */
export class Block {
  private count = 0;
  private storing = 0;
  private passingJob: string | null = null;

  /** Dead letters that have held the lane so far. */
  get letters(): number {
    return this.count;
  }

  /** All of them are durable. */
  get isStored(): boolean {
    return this.storing === 0;
  }

  /** The redrive whose events may pass. */
  get passing(): string | null {
    return this.passingJob;
  }

  /** One more dead letter holds the lane, and is not durable yet. */
  add(): void {
    this.count += 1;
    this.storing += 1;
  }

  stored(): void {
    this.storing -= 1;
  }

  letPass(job: string): void {
    this.passingJob = job;
  }
}
