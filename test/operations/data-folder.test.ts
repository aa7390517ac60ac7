import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openDataFolder } from '../../src/operations/postgres/data-folder.ts';

async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tallyback-test-folder-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('all missing levels are made, for their owner alone, also by two at once', async () => {
  const path = join(await temporary(), 'a/b/c');
  await Promise.all([openDataFolder(path), openDataFolder(path)]);
  for (const made of [path, join(path, '..')]) expect((await stat(made)).mode & 0o777).toBe(0o700);
});

test('what stands in the way is told of', async () => {
  const folder = await temporary();
  await writeFile(join(folder, 'file'), '');
  await symlink(join(folder, 'nowhere'), join(folder, 'dangling'));
  for (const name of ['file', 'file/below', 'dangling', 'dangling/below']) {
    await expect(openDataFolder(join(folder, name))).rejects.toMatchObject({ reason: 'DATA_DIR' });
  }
});

// Node's recursive mkdir never comes back from there.
test.runIf(process.platform === 'linux')('a folder in /proc is refused', { timeout: 5_000 }, async () => {
  for (const path of ['/proc/foo', '/proc/foo/bar']) {
    await expect(openDataFolder(path)).rejects.toMatchObject({
      reason: 'DATA_DIR',
      message: expect.stringContaining(`${path} cannot be used: ENOENT`) as string,
    });
  }
});
