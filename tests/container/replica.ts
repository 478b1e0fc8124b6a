/** One container of `walpost run`: what it says of itself, and what happens to containers. */
import { type ContainerRuntimeClient, getContainerRuntimeClient, type StartedTestContainer } from 'testcontainers';
import { LogLines } from './log-lines.ts';

type EngineContainer = ReturnType<ContainerRuntimeClient['container']['getById']>;

/** The container as the engine knows it: testcontainers has no pause, and its stop removes. */
export async function engineContainer(container: StartedTestContainer): Promise<EngineContainer> {
  return (await getContainerRuntimeClient()).container.getById(container.getId());
}

export class Replica {
  readonly container: StartedTestContainer;
  readonly log: LogLines;
  /** Seconds between the signal and the kill of `docker stop`. */
  readonly grace: number;
  private readonly token: string;

  private constructor(container: StartedTestContainer, log: LogLines, token: string, grace: number) {
    this.container = container;
    this.log = log;
    this.token = token;
    this.grace = grace;
  }

  static async of(container: StartedTestContainer, token: string, grace: number): Promise<Replica> {
    return new Replica(container, await LogLines.of(container), token, grace);
  }

  async role(): Promise<string> {
    const answer = await fetch(this.url('/readyz'));
    return ((await answer.json()) as { role: string }).role;
  }

  /** Lanes with a request on its way. */
  async sending(): Promise<number> {
    const answer = await fetch(this.url('/metrics'), { headers: { authorization: `Bearer ${this.token}` } });
    const lines = (await answer.text()).split('\n').filter((line) => /^walpost_lanes\{.*"sending"/.test(line));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async inspect(): ReturnType<EngineContainer['inspect']> {
    return (await engineContainer(this.container)).inspect();
  }

  async kill(): Promise<void> {
    await (await engineContainer(this.container)).kill();
  }

  /** `docker stop`; with the exit code and the milliseconds it took. */
  async stop(): Promise<{ code: number; took: number }> {
    const begun = performance.now();
    await (await engineContainer(this.container)).stop({ t: this.grace });
    const took = performance.now() - begun;
    return { code: (await this.inspect()).State.ExitCode, took };
  }

  private url(path: string): string {
    return `http://${this.container.getHost()}:${this.container.getMappedPort(9464)}${path}`;
  }
}
