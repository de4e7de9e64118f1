// An initial file system as Linux unpacks it: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst).

const aligned = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);

function entry({ path, mode, content = Buffer.alloc(0), device = [0, 0] }, inode) {
  const name = Buffer.from(`${path}\0`);
  const [major, minor] = device;
  // inode, mode, uid, gid, links, time, size, device of the file system, device, length of the name, checksum
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, major, minor, name.length, 0];
  const header = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  return Buffer.concat([aligned(Buffer.concat([Buffer.from(`070701${header}`), name])), aligned(content)]);
}

/** @param {readonly { path: string, mode: number, content?: Buffer, device?: [number, number] }[]} files folders before what is in them */
export function cpio(files) {
  return Buffer.concat([...files, { path: 'TRAILER!!!', mode: 0 }].map((file, index) => entry(file, index + 1)));
}
