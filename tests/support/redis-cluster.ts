import { RedisServer } from './redis-server.ts';
import { poll } from './slot-session.ts';

const SLOTS = 16_384;

/** Three primaries on loopback that share the slots. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  static async start(): Promise<RedisCluster> {
    const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' };
    const nodes = await Promise.all([0, 1, 2].map(() => RedisServer.start({ settings })));
    for (const [place, { admin }] of nodes.entries()) {
      const from = Math.floor((place * SLOTS) / 3);
      const to = Math.floor(((place + 1) * SLOTS) / 3) - 1;
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
      await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', place + 1);
    }
    for (const { port } of nodes.slice(1)) await nodes[0]?.admin.call('CLUSTER', 'MEET', '127.0.0.1', port);
    for (const { admin } of nodes) {
      await poll('the cluster is up', async () => {
        const info = String(await admin.call('CLUSTER', 'INFO'));
        return (info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')) || undefined;
      });
    }
    return new RedisCluster(nodes);
  }

  get url(): string {
    return this.nodes[0]?.url ?? '';
  }

  /** The nodes but the one in `url`, as the option cluster wants them. */
  get further(): string[] {
    return this.nodes.slice(1).map(({ port }) => `127.0.0.1:${port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }
}
