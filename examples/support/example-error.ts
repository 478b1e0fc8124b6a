/** Why an example cannot go on, and what a person does about it: two sentences. */
export class ExampleError extends Error {
  override readonly name = 'ExampleError';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** Ends the process with two sentences in the place of a stack. An error without a remedy is a bug, whose stack says where. */
export function explainFailures(): void {
  process.once('uncaughtException', (error) => {
    const { message, remedy, stack } = error as Partial<ExampleError>;
    process.stderr.write(remedy === undefined ? `${stack}\n` : `\n${message}\n${remedy}\n`);
    process.exit(1);
  });
}
