/** `tallyback projections list`. */
import type { ServerConfiguration } from '../operations/configuration.ts';
import type { Terminal } from './terminal.ts';

export async function projections(
  _args: readonly string[],
  _configuration: ServerConfiguration,
  _terminal: Terminal,
): Promise<number> {
  throw new Error('under construction');
}
