import { createInterface } from 'node:readline';

/** What a person types on one line; undefined after Ctrl-C or Ctrl-D, where the next output begins on a line of its own. */
export function askLine(question: string, output: NodeJS.WriteStream): Promise<string | undefined> {
  const asking = createInterface({ input: process.stdin, output });
  return new Promise((resolve) => {
    const onClose = (): void => {
      output.write('\n');
      resolve(undefined);
    };
    asking.once('close', onClose);
    asking.question(question, (answer) => {
      asking.off('close', onClose);
      asking.close();
      resolve(answer.trim());
    });
  });
}
