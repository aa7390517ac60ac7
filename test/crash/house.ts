/** The system under test: servers, each behind its proxy, on one Postgres. Leaves nothing behind. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtCli } from '../support/tallyback-process.ts';
import { CrashablePostgres } from './crashable-postgres.ts';
import { FaultProxy } from './fault-proxy.ts';
import type { Journal } from './journal.ts';
import { Server } from './server.ts';

export interface HouseOptions {
  readonly servers: number;
  /** The server's program, if not the one that was built. */
  readonly cli?: string | undefined;
}

export class House {
  readonly journal: Journal;
  readonly postgres: CrashablePostgres;
  readonly #folder: string;
  readonly #servers: Server[] = [];

  private constructor(folder: string, journal: Journal) {
    this.#folder = folder;
    this.journal = journal;
    this.postgres = new CrashablePostgres(folder);
  }

  static async open({ servers, cli = builtCli }: HouseOptions, journal: Journal): Promise<House> {
    const house = new House(await mkdtemp(join(tmpdir(), 'tallyback-crash-')), journal);
    try {
      await house.postgres.start();
      const { url, port } = house.postgres;
      for (let n = 0; n < servers; n++) {
        const proxy = await FaultProxy.listen(port);
        house.#servers.push(new Server(`server-${n + 1}`, url.href, proxy, cli, journal));
      }
      await Promise.all(house.#servers.map((server) => server.start()));
      return house;
    } catch (error) {
      await house.close();
      throw error;
    }
  }

  get servers(): readonly Server[] {
    return this.#servers;
  }

  async restartPostgres(): Promise<void> {
    await this.postgres.start();
    for (const { proxy } of this.#servers) proxy.targetPort = this.postgres.port;
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()));
    await Promise.all(this.#servers.map(({ proxy }) => proxy.close()));
    await this.postgres.stop().catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
  }
}
