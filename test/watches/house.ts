/** Two whole servers in this process, on one database and one event log, with real gRPC in front of them. */
import type pg from 'pg';
import { credentials } from '@grpc/grpc-js';
import { positionTokens } from '../../src/application/position-token.ts';
import { checkConnectionString } from '../../src/eventstore/eventstoredb/index.ts';
import type { EventStore, Position } from '../../src/eventstore/port.ts';
import { ProjectionAdminServiceClient } from '../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { connect, type Connection } from '../../src/main/client/connect.ts';
import { compose, type Composition, parts } from '../../src/main/container.ts';
import { serverConfiguration } from '../../src/operations/configuration.ts';
import type { Columns, ReadModel, RowOf } from '../../src/projections/engine/read-model.ts';
import { columnParsers, decodeRow } from '../../src/projections/postgres/row-codec.ts';
import { tableSql } from '../../src/projections/postgres/table-sql.ts';
import { openPool } from '../../src/operations/pool.ts';
import type { Journal } from '../crash/journal.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import type { ServedStore } from '../support/served-stores.ts';

const tokenKey = 'the key of a test, which reads tokens';

interface Running {
  readonly composition: Composition;
  readonly port: number;
  readonly connection: Connection;
  readonly admin: ProjectionAdminServiceClient;
}

export class Instance {
  readonly name: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #journal: Journal;
  running: Running | undefined;

  constructor(name: string, env: NodeJS.ProcessEnv, journal: Journal) {
    this.name = name;
    this.#env = env;
    this.#journal = journal;
  }

  async start(): Promise<void> {
    const configuration = serverConfiguration({ listen: '127.0.0.1:0' }, this.#env, checkConnectionString);
    const composition = compose(configuration, (line) => this.#journal.note(`${this.name}: ${line}`));
    const { address } = await composition.get(parts.api);
    this.running = {
      composition,
      port: Number(address.split(':')[1]),
      connection: connect(address),
      admin: new ProjectionAdminServiceClient(address, credentials.createInsecure()),
    };
  }

  async stop(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    if (!running) return;
    await running.composition.stop();
    running.connection.close();
    running.admin.close();
  }
}

export interface StoredRow<C extends Columns> {
  readonly row: RowOf<C>;
  /** The commit of its last change. */
  readonly position: bigint;
}

export class House {
  readonly instances: readonly Instance[];
  readonly pool: pg.Pool;
  readonly #database: TestDatabase;
  #store: EventStore | undefined;

  private constructor(database: TestDatabase, store: ServedStore, journal: Journal) {
    this.#database = database;
    const env = {
      ...store.env,
      DATABASE_URL: database.url,
      TALLYBACK_TOKEN_KEY: tokenKey,
      // It would put right what the test spoils.
      TALLYBACK_AUDIT_ROWS_PER_SECOND: '0',
    };
    this.instances = ['one', 'two'].map((name) => new Instance(name, env, journal));
    this.pool = openPool(database.url, 4, () => undefined);
  }

  static async open(store: ServedStore, journal: Journal): Promise<House> {
    const house = new House(await createTestDatabase(), store, journal);
    for (const instance of house.instances) await instance.start();
    house.#store = await house.any().composition.get(parts.store);
    return house;
  }

  /** One that runs, the n-th if that one does. */
  any(n = 0): Running {
    const running = this.instances.flatMap((instance) => instance.running ?? []);
    const one = running[n % running.length];
    if (!one) throw new Error('no instance runs');
    return one;
  }

  readonly decode = (token: string): Position | undefined =>
    positionTokens(Buffer.from(tokenKey), this.#store?.id ?? '').decode(token);

  async head(): Promise<string> {
    const { composition } = this.any();
    const store = await composition.get(parts.store);
    const tokens = await composition.get(parts.tokens);
    return tokens.encode(await store.head());
  }

  /** The table that serves, with no server in between, and what it is called in watches. */
  async table<C extends Columns>(
    model: ReadModel<C>,
  ): Promise<{ generation: string; rows: readonly StoredRow<C>[] }> {
    const { rows: found } = await this.pool.query<{
      number: number;
      incarnation: number;
      table_name: string;
    }>(
      `select number, incarnation, table_name from tallyback.generation where model = $1 and state = 'serving'`,
      [model.name],
    );
    const [serving] = found;
    if (!serving) throw new Error(`nothing serves ${model.name}`);
    const { table, columns, selected } = tableSql(model, serving.table_name);
    const { rows } = await this.pool.query<unknown[]>({
      text: `select t.position, ${selected} from ${table} t`,
      rowMode: 'array',
      types: columnParsers,
    });
    return {
      generation: `${serving.number}.${serving.incarnation}`,
      rows: rows.map((values) => ({
        position: BigInt(String(values[0])),
        row: decodeRow<C>(columns, values, 1),
      })),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.stop()));
    await this.pool.end();
    await this.#database.drop();
  }
}
