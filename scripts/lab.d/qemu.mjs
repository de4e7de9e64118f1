// The QEMU lab: a Linux with VT-d, SR-IOV and SVM in QEMU's translator, which needs no rights and no KVM.
import { backportedQemu } from './backported-qemu.mjs';
import { dmarWith } from './dmar.mjs';
import { LabError } from './error.mjs';
import { debianKernel, smallKernel, withTable } from './kernel.mjs';
import { jobOf, start, statusIn } from './process.mjs';
import { devicesOf, transport, variants } from './variants.mjs';

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
  const chosen = devicesOf(variant);
  // Every network card is connected to one hub, with nothing else behind it.
  const wires = chosen.flatMap((device) => /netdev=(\w+)/.exec(device)?.[1] ?? []);
  return [
    // One thread: with several, QEMU 7.2 may keep running code that another processor has changed, and Linux hangs there.
    ...['-M', 'q35,kernel-irqchip=split', '-accel', 'tcg,thread=single', '-cpu', variant.cpu ?? 'max,la57=off'],
    ...['-m', '1G', '-smp', '2', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', [...variant.kernel, ...options].join(' ')],
    ...wires.flatMap((name) => ['-netdev', `hubport,id=${name},hubid=0`]),
    // 32 MiB of zeros; what is written goes to a file without a name, and ends with the machine.
    ...[
      '-drive',
      `if=none,id=disk,snapshot=on,driver=raw,file.driver=null-co,file.read-zeroes=on,file.size=${32 << 20}`,
    ],
    ...chosen.flatMap((device) => ['-device', device]),
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

const qemuOf = ({ backported }) =>
  backported ? backportedQemu() : { program: 'qemu-system-x86_64', options: [], environment: {} };

/** QEMU of a variant, as a process of ours. */
function startQemu(variant, args, stdio) {
  const { program, options, environment } = qemuOf(variant);
  return start(program, [...options, ...args], { stdio, env: { ...process.env, ...environment } });
}

/** Why this machine cannot have a variant; undefined where it can. What is missing is fetched first. */
export function lackOf(name) {
  try {
    qemuOf(variants[name]);
    return undefined;
  } catch (error) {
    if (error instanceof LabError) return error.message;
    throw error;
  }
}

function kernelOf({ small, reserved }) {
  const kernel = small ? smallKernel() : debianKernel();
  return reserved === undefined ? kernel : withTable(kernel, 'dmar', dmarWith(reserved));
}

const encoded = (job) => Buffer.from(job).toString('base64');

/**
 * Boots a variant and runs a command in it, with this process' input, output and errors.
 * @returns {Promise<number | undefined>} the command's exit status; undefined if the machine ended without one
 */
export function runInQemu(name, command, { signal, onConsole }) {
  const args = [...argumentsOf(variants[name], kernelOf(variants[name])), ...portArguments];
  const machine = startQemu(variants[name], args, ['ignore', 'pipe', 'pipe', ...ports.map(() => 'pipe')]);
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
      resolve(statusIn(said));
    });
  });
}

/** Boots a variant whose console is this terminal, with a shell on it; a command, if there is one, comes before that. */
export function shellInQemu(name, { command, signal }) {
  const { rows = 24, columns = 80 } = process.stdout;
  const first =
    command === undefined ? '' : `(${jobOf(command)}); echo "lab: the command ended with status $?; leave with exit"; `;
  const job = `stty rows ${rows} cols ${columns}; ${first}${jobOf(['bash', '-i'])}`;
  const args = argumentsOf(variants[name], kernelOf(variants[name]), [`vtkit.job=${encoded(job)}`]);
  const machine = startQemu(variants[name], [...args, '-serial', 'mon:stdio'], 'inherit');
  signal.addEventListener('abort', () => machine.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    machine.on('error', reject);
    machine.on('close', (status) => resolve(status ?? undefined));
  });
}
