/** The Postgres that Tallyback runs on: one it is given, or one it runs itself. */
export { joinRunningPostgres } from './running.ts';
export { startPostgres } from './start.ts';
export { PostgresStartError } from './types.ts';
export type { PostgresOptions, PostgresServer } from './types.ts';
