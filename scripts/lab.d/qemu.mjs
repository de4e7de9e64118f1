// The QEMU lab: a Linux with VT-d, SR-IOV and SVM in QEMU's translator, which needs no rights and no KVM.
import { spawn } from 'node:child_process';
import { dmarWith } from './dmar.mjs';
import { debianKernel, smallKernel, withTable } from './kernel.mjs';
import { devicesOf, transport, variants } from './variants.mjs';

/** What of its environment COMMAND keeps. */
const kept = ['PATH', 'LANG', 'TERM', 'CI', 'REQUIRE', 'NO_COLOR'];
const ports = ['stdin', 'stdout', 'stderr', 'control'];
/** The file descriptor of a port in QEMU. */
const descriptor = (index) => 3 + index;

function argumentsOf(variant, { kernel, initrd }, forInit = []) {
  const options = [
    ...['loglevel=4', 'panic=-1', 'mitigations=off', 'no_timer_check', 'nokaslr', 'console=ttyS0'],
    `vtkit.transport=${variant.small ? '' : transport.join(',')}`,
    `vtkit.modules=${variant.modules.join(',')}`,
    ...forInit,
    ...(variant.user === undefined ? [] : [`vtkit.user=${variant.user}`]),
  ];
  return [
    // One thread: with several, QEMU 7.2 may keep running code that another processor has changed, and Linux hangs there.
    ...['-M', 'q35,kernel-irqchip=split', '-accel', 'tcg,thread=single', '-cpu', variant.cpu ?? 'max,la57=off'],
    ...['-m', '1G', '-smp', '2', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', [...variant.kernel, ...options].join(' ')],
    // A hub is what a network card is connected to, with nothing behind it.
    ...['-netdev', 'hubport,id=wire,hubid=0'],
    // 32 MiB of zeros; what is written goes to a file without a name, and ends with the machine.
    ...[
      '-drive',
      `if=none,id=disk,snapshot=on,driver=raw,file.driver=null-co,file.read-zeroes=on,file.size=${32 << 20}`,
    ],
    ...devicesOf(variant).flatMap((device) => ['-device', device]),
    ...['-fsdev', 'local,id=host,path=/,security_model=none,readonly=on,multidevs=remap'],
    ...['-device', 'virtio-9p-pci,addr=1e,fsdev=host,mount_tag=host'],
  ];
}

// Probed before the file system at 00:1e.0, so that the ports are /dev/vport0p1 and so on.
const portArguments = [
  ...['-device', 'virtio-serial-pci,addr=1d', '-serial', 'stdio'],
  ...ports.flatMap((name, index) => [
    ...['-chardev', `socket,id=${name},fd=${descriptor(index)}`],
    ...['-device', `virtserialport,chardev=${name},nr=${index + 1}`],
  ]),
];

/** A lab ends with the process that started it, however that ends. */
const start = (args, stdio) => spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], { stdio });

function kernelOf({ small, reserved }) {
  const kernel = small ? smallKernel() : debianKernel();
  return reserved === undefined ? kernel : withTable(kernel, 'dmar', dmarWith(reserved));
}

const quoted = (word) => `'${word.replaceAll("'", `'\\''`)}'`;

const encoded = (job) => Buffer.from(job).toString('base64');

function jobOf(command) {
  const environment = kept.flatMap((name) => (process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`]));
  return `cd ${quoted(process.cwd())} && exec env -i ${[...environment, 'HOME=/tmp', ...command].map(quoted).join(' ')}`;
}

/**
 * Boots a variant and runs a command in it, with this process' input, output and errors.
 * @returns {Promise<number | undefined>} the command's exit status; undefined if the machine ended without one
 */
export function runInQemu(name, command, { signal, onConsole }) {
  const args = [...argumentsOf(variants[name], kernelOf(variants[name])), ...portArguments];
  const machine = start(args, ['ignore', 'pipe', 'pipe', ...ports.map(() => 'pipe')]);
  const [stdin, stdout, stderr, control] = ports.map((_, index) => machine.stdio[descriptor(index)]);
  process.stdin.pipe(stdin);
  stdout.pipe(process.stdout);
  stderr.pipe(process.stderr);
  control.write(`${encoded(jobOf(command))}\n`);

  // The sockets are gone with the machine, whatever was still in them for it.
  for (const socket of [stdin, control]) socket.on('error', () => {});
  let said = '';
  control.on('data', (text) => {
    said += text;
    // What the command wrote is in the sockets by now: a write in the machine returns when QEMU has passed it on.
    if (said.endsWith('\n')) machine.kill();
  });
  machine.stdout.on('data', onConsole);
  machine.stderr.on('data', onConsole);
  signal.addEventListener('abort', () => machine.kill('SIGKILL'));

  return new Promise((resolve, reject) => {
    machine.on('error', reject);
    machine.on('close', () => {
      process.stdin.destroy();
      const status = /^exit (\d+)/.exec(said)?.[1];
      resolve(status === undefined ? undefined : Number(status));
    });
  });
}

/** Boots a variant whose console is this terminal, with a shell on it. */
export function shellInQemu(name, { signal }) {
  const { rows = 24, columns = 80 } = process.stdout;
  const job = `stty rows ${rows} cols ${columns}; ${jobOf(['bash', '-i'])}`;
  const args = argumentsOf(variants[name], kernelOf(variants[name]), [`vtkit.job=${encoded(job)}`]);
  const machine = start([...args, '-serial', 'mon:stdio'], 'inherit');
  signal.addEventListener('abort', () => machine.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    machine.on('error', reject);
    machine.on('close', (status) => resolve(status ?? undefined));
  });
}
