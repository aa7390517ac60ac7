import { PostgresStartError } from './types.ts';

/** The system's code of a failed call (ENOENT, EACCES, ...), if that is what was thrown. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Runs what touches the data folder: a plain system error becomes one that says which folder, and why. */
export async function inDataDir<T>(dataDir: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof PostgresStartError) throw error;
    throw new PostgresStartError('DATA_DIR', `Data folder ${dataDir} cannot be used: ${errorText(error)}`, {
      cause: error,
    });
  }
}
