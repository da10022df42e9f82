/**
 * The numbers of the kernel's interface, under their Linux names.
 *
 * Plain numbers, one exported constant each, so that an unused one costs nothing and a misspelled
 * one does not compile. Those that differ between x86-64 and aarch64 come from the table in
 * `arch.ts`.
 */

import { arch } from "./arch.ts";

// Errors.
/** Operation not permitted. */
export const EPERM = 1;
/** No such file or folder. */
export const ENOENT = 2;
/** No such process. */
export const ESRCH = 3;
/** A signal came first. */
export const EINTR = 4;
/** Input or output failed. */
export const EIO = 5;
/** No such device, or nobody at the other end. */
export const ENXIO = 6;
/** Too much in one call. */
export const E2BIG = 7;
/** Not an open descriptor, or not open for this. */
export const EBADF = 9;
/** No child process. */
export const ECHILD = 10;
/** Would have to wait; the same as EWOULDBLOCK. */
export const EAGAIN = 11;
/** Out of memory. */
export const ENOMEM = 12;
/** Permission denied. */
export const EACCES = 13;
/** An address outside the process. */
export const EFAULT = 14;
/** In use. */
export const EBUSY = 16;
/** The name is taken. */
export const EEXIST = 17;
/** Across mounts, or outside what RESOLVE_BENEATH allows. */
export const EXDEV = 18;
/** No such device, or the file system cannot do this. */
export const ENODEV = 19;
/** Not a folder. */
export const ENOTDIR = 20;
/** A folder. */
export const EISDIR = 21;
/** An argument makes no sense. */
export const EINVAL = 22;
/** The system has too many open files. */
export const ENFILE = 23;
/** The process has too many open files. */
export const EMFILE = 24;
/** The device does not know this request. */
export const ENOTTY = 25;
/** The file is being executed. */
export const ETXTBSY = 26;
/** Too large for a file. */
export const EFBIG = 27;
/** No space left. */
export const ENOSPC = 28;
/** Not seekable. */
export const ESPIPE = 29;
/** Read-only file system. */
export const EROFS = 30;
/** Too many links. */
export const EMLINK = 31;
/** Nobody reads the other end. */
export const EPIPE = 32;
/** The buffer is too small for the answer. */
export const ERANGE = 34;
/** Waiting would be a deadlock. */
export const EDEADLK = 35;
/** A name or path is too long. */
export const ENAMETOOLONG = 36;
/** No locks left. */
export const ENOLCK = 37;
/** The kernel has no such call. */
export const ENOSYS = 38;
/** The folder is not empty. */
export const ENOTEMPTY = 39;
/** A symbolic link where none is allowed, or too many. */
export const ELOOP = 40;
/** No such extended attribute. */
export const ENODATA = 61;
/** The timer ran out. */
export const ETIME = 62;
/** The protocol was broken. */
export const EPROTO = 71;
/** The value does not fit the type. */
export const EOVERFLOW = 75;
/** Not a valid sequence of bytes. */
export const EILSEQ = 84;
/** Not a socket. */
export const ENOTSOCK = 88;
/** A destination address is needed. */
export const EDESTADDRREQ = 89;
/** The message is too long. */
export const EMSGSIZE = 90;
/** The wrong type of socket for this protocol. */
export const EPROTOTYPE = 91;
/** No such socket option. */
export const ENOPROTOOPT = 92;
/** No such protocol. */
export const EPROTONOSUPPORT = 93;
/** Not supported here. */
export const EOPNOTSUPP = 95;
/** No such address family. */
export const EAFNOSUPPORT = 97;
/** The address is taken. */
export const EADDRINUSE = 98;
/** Not an address of this machine. */
export const EADDRNOTAVAIL = 99;
/** The network cannot be reached. */
export const ENETUNREACH = 101;
/** The connection was given up. */
export const ECONNABORTED = 103;
/** The peer reset the connection. */
export const ECONNRESET = 104;
/** No buffer space. */
export const ENOBUFS = 105;
/** Already connected. */
export const EISCONN = 106;
/** Not connected. */
export const ENOTCONN = 107;
/** The peer did not answer in time. */
export const ETIMEDOUT = 110;
/** Nobody listens there. */
export const ECONNREFUSED = 111;
/** No route to the machine. */
export const EHOSTUNREACH = 113;
/** A connection attempt is under way. */
export const EALREADY = 114;
/** The connection attempt goes on in the background. */
export const EINPROGRESS = 115;
/** The file behind a handle is gone. */
export const ESTALE = 116;
/** The quota is used up. */
export const EDQUOT = 122;
/** The operation was cancelled. */
export const ECANCELED = 125;

// Opening files.
/** Read only. */
export const O_RDONLY = 0o0;
/** Write only. */
export const O_WRONLY = 0o1;
/** Read and write. */
export const O_RDWR = 0o2;
/** Mask of the three access modes. */
export const O_ACCMODE = 0o3;
/** Create the file if it is missing. */
export const O_CREAT = 0o100;
/** With O_CREAT: fail if the name exists, symbolic links included. */
export const O_EXCL = 0o200;
/** Do not make a terminal the controlling one. */
export const O_NOCTTY = 0o400;
/** Cut a regular file to length 0. */
export const O_TRUNC = 0o1000;
/** Every write goes to the end. */
export const O_APPEND = 0o2000;
/** Do not wait, neither at open nor later. */
export const O_NONBLOCK = 0o4000;
/** A write returns when its data is on disk. */
export const O_DSYNC = 0o10000;
/** Bypass the page cache. Differs between architectures. */
export const O_DIRECT: number = arch.O_DIRECT;
/** Allow files over 2 GiB; implied on 64-bit systems. Differs between architectures. */
export const O_LARGEFILE: number = arch.O_LARGEFILE;
/** Fail if the file is not a folder. Differs between architectures. */
export const O_DIRECTORY: number = arch.O_DIRECTORY;
/** Fail if the last component is a symbolic link. Differs between architectures. */
export const O_NOFOLLOW: number = arch.O_NOFOLLOW;
/** Leave the access time alone; owner only. */
export const O_NOATIME = 0o1000000;
/** Close at exec. */
export const O_CLOEXEC = 0o2000000;
/** A write returns when data and metadata are on disk. */
export const O_SYNC = 0o4010000;
/** Only a place in the tree: no reading, no writing, no permission needed. */
export const O_PATH = 0o10000000;
/** An unnamed file in the folder given. */
export const O_TMPFILE: number = 0o20000000 | O_DIRECTORY;
/** openat2: do not cross mounts. */
export const RESOLVE_NO_XDEV = 0x01;
/** openat2: follow no magic links such as those of /proc. */
export const RESOLVE_NO_MAGICLINKS = 0x02;
/** openat2: follow no symbolic links at all. */
export const RESOLVE_NO_SYMLINKS = 0x04;
/** openat2: never leave the tree below the folder. */
export const RESOLVE_BENEATH = 0x08;
/** openat2: treat the folder as the root. */
export const RESOLVE_IN_ROOT = 0x10;
/** openat2: only what needs no waiting, else EAGAIN. */
export const RESOLVE_CACHED = 0x20;
/** Instead of a folder's descriptor: the working folder. */
export const AT_FDCWD: number = -100;
/** Do not follow a symbolic link at the end. */
export const AT_SYMLINK_NOFOLLOW = 0x100;
/** faccessat: check with the effective ids. */
export const AT_EACCESS = 0x200;
/** unlinkat: remove a folder. */
export const AT_REMOVEDIR = 0x200;
/** linkat: follow a symbolic link at the end. */
export const AT_SYMLINK_FOLLOW = 0x400;
/** Do not trigger automounts. */
export const AT_NO_AUTOMOUNT = 0x800;
/** With an empty name: the descriptor itself. */
export const AT_EMPTY_PATH = 0x1000;
/** statx: as stat would. */
export const AT_STATX_SYNC_AS_STAT = 0x0000;
/** statx: ask the remote server. */
export const AT_STATX_FORCE_SYNC = 0x2000;
/** statx: what is cached will do. */
export const AT_STATX_DONT_SYNC = 0x4000;
/** renameat2: fail if the new name exists. */
export const RENAME_NOREPLACE = 1;
/** renameat2: swap the two. */
export const RENAME_EXCHANGE = 2;
/** renameat2: leave a whiteout behind. */
export const RENAME_WHITEOUT = 4;

// File types and modes.
/** Mask of the type bits of a mode. */
export const S_IFMT = 0o170000;
/** Socket. */
export const S_IFSOCK = 0o140000;
/** Symbolic link. */
export const S_IFLNK = 0o120000;
/** Regular file. */
export const S_IFREG = 0o100000;
/** Block device. */
export const S_IFBLK = 0o060000;
/** Folder. */
export const S_IFDIR = 0o040000;
/** Character device. */
export const S_IFCHR = 0o020000;
/** Named pipe. */
export const S_IFIFO = 0o010000;
/** Set-user-id bit. */
export const S_ISUID = 0o4000;
/** Set-group-id bit. */
export const S_ISGID = 0o2000;
/** Sticky bit. */
export const S_ISVTX = 0o1000;
/** Directory entry of unknown type: ask statx. */
export const DT_UNKNOWN = 0;
/** Directory entry of a named pipe. */
export const DT_FIFO = 1;
/** Directory entry of a character device. */
export const DT_CHR = 2;
/** Directory entry of a folder. */
export const DT_DIR = 4;
/** Directory entry of a block device. */
export const DT_BLK = 6;
/** Directory entry of a regular file. */
export const DT_REG = 8;
/** Directory entry of a symbolic link. */
export const DT_LNK = 10;
/** Directory entry of a socket. */
export const DT_SOCK = 12;

// statx.
/** Type bits of the mode. */
export const STATX_TYPE = 0x0001;
/** Permission bits of the mode. */
export const STATX_MODE = 0x0002;
/** Number of links. */
export const STATX_NLINK = 0x0004;
/** Owner. */
export const STATX_UID = 0x0008;
/** Group. */
export const STATX_GID = 0x0010;
/** Last access. */
export const STATX_ATIME = 0x0020;
/** Last change of the contents. */
export const STATX_MTIME = 0x0040;
/** Last change of the inode. */
export const STATX_CTIME = 0x0080;
/** Inode number. */
export const STATX_INO = 0x0100;
/** Size in bytes. */
export const STATX_SIZE = 0x0200;
/** Blocks of 512 bytes in use. */
export const STATX_BLOCKS = 0x0400;
/** All that stat has. */
export const STATX_BASIC_STATS = 0x07ff;
/** Time of birth. */
export const STATX_BTIME = 0x0800;
/** Mount id, reused after unmounting (Linux 5.8). */
export const STATX_MNT_ID = 0x1000;
/** Alignment for direct I/O (Linux 6.1). */
export const STATX_DIOALIGN = 0x2000;
/** Mount id never used again (Linux 6.8). */
export const STATX_MNT_ID_UNIQUE = 0x4000;
/** Attribute: cannot be changed. */
export const STATX_ATTR_IMMUTABLE = 0x10;
/** Attribute: can only grow. */
export const STATX_ATTR_APPEND = 0x20;
/** Attribute: an automount point. */
export const STATX_ATTR_AUTOMOUNT = 0x1000;
/** Attribute: the root of a mount. */
export const STATX_ATTR_MOUNT_ROOT = 0x2000;
/** Attribute: mapped directly, without page cache. */
export const STATX_ATTR_DAX = 0x200000;
/** utimensat: instead of nanoseconds, the time now. */
export const UTIME_NOW = 0x3fffffff;
/** utimensat: instead of nanoseconds, leave as it is. */
export const UTIME_OMIT = 0x3ffffffe;

// Offsets and space.
/** From the start. */
export const SEEK_SET = 0;
/** From here. */
export const SEEK_CUR = 1;
/** From the end. */
export const SEEK_END = 2;
/** To the next byte that is not in a hole. */
export const SEEK_DATA = 3;
/** To the next hole. */
export const SEEK_HOLE = 4;
/** fallocate: do not grow the size. */
export const FALLOC_FL_KEEP_SIZE = 0x01;
/** fallocate: give the space back; with KEEP_SIZE. */
export const FALLOC_FL_PUNCH_HOLE = 0x02;
/** fallocate: take the range out of the file. */
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
/** fallocate: make the range read as zeros. */
export const FALLOC_FL_ZERO_RANGE = 0x10;
/** preadv2, pwritev2: poll for the answer. */
export const RWF_HIPRI = 0x01;
/** pwritev2: this write as with O_DSYNC. */
export const RWF_DSYNC = 0x02;
/** pwritev2: this write as with O_SYNC. */
export const RWF_SYNC = 0x04;
/** preadv2, pwritev2: EAGAIN instead of waiting. */
export const RWF_NOWAIT = 0x08;
/** pwritev2: this write as with O_APPEND. */
export const RWF_APPEND = 0x10;
/** Most segments in one call. */
export const IOV_MAX = 1024;
/** splice: move pages instead of copying, if possible. */
export const SPLICE_F_MOVE = 1;
/** splice: do not wait on the pipe. */
export const SPLICE_F_NONBLOCK = 2;
/** splice: more follows. */
export const SPLICE_F_MORE = 4;
/** setxattr: fail if the attribute exists. */
export const XATTR_CREATE = 1;
/** setxattr: fail if it does not. */
export const XATTR_REPLACE = 2;
/** Longest name of an extended attribute, bytes. */
export const XATTR_NAME_MAX = 255;
/** Longest value of an extended attribute, bytes. */
export const XATTR_SIZE_MAX = 65536;
/** Longest list of attribute names, bytes. */
export const XATTR_LIST_MAX = 65536;
/** Longest file name, bytes. */
export const NAME_MAX = 255;
/** Longest path, its NUL included, bytes. */
export const PATH_MAX = 4096;
/** Most groups a process can be in. */
export const NGROUPS_MAX = 65536;
/** As a user or group: leave it as it is. */
export const NO_CHANGE = 0xffff_ffff;
/** Longest file handle, bytes. */
export const MAX_HANDLE_SZ = 128;

// fcntl and locks.
/** Duplicate to the lowest number not below the argument. */
export const F_DUPFD = 0;
/** Descriptor flags. */
export const F_GETFD = 1;
/** Set the descriptor flags. */
export const F_SETFD = 2;
/** Status flags and access mode. */
export const F_GETFL = 3;
/** Set the status flags. */
export const F_SETFL = 4;
/** As F_DUPFD, closed at exec. */
export const F_DUPFD_CLOEXEC = 1030;
/** Set a pipe's capacity. */
export const F_SETPIPE_SZ = 1031;
/** A pipe's capacity. */
export const F_GETPIPE_SZ = 1032;
/** Add seals to a memory file. */
export const F_ADD_SEALS = 1033;
/** Seals of a memory file. */
export const F_GET_SEALS = 1034;
/** Ask who holds a conflicting lock. */
export const F_OFD_GETLK = 36;
/** Lock or unlock for the open file description, without waiting. */
export const F_OFD_SETLK = 37;
/** As F_OFD_SETLK, waiting. */
export const F_OFD_SETLKW = 38;
/** Shared lock. */
export const F_RDLCK = 0;
/** Exclusive lock. */
export const F_WRLCK = 1;
/** No lock. */
export const F_UNLCK = 2;
/** Descriptor flag: closed at exec. */
export const FD_CLOEXEC = 1;
/** No more seals. */
export const F_SEAL_SEAL = 1;
/** The file cannot shrink. */
export const F_SEAL_SHRINK = 2;
/** The file cannot grow. */
export const F_SEAL_GROW = 4;
/** The file cannot be written. */
export const F_SEAL_WRITE = 8;
/** No new writable mappings, no writes. */
export const F_SEAL_FUTURE_WRITE = 16;
/** flock: shared. */
export const LOCK_SH = 1;
/** flock: exclusive. */
export const LOCK_EX = 2;
/** flock: do not wait. */
export const LOCK_NB = 4;
/** flock: release. */
export const LOCK_UN = 8;

// Memory.
/** Pages that may not be touched. */
export const PROT_NONE = 0;
/** Readable pages. */
export const PROT_READ = 1;
/** Writable pages. */
export const PROT_WRITE = 2;
/** Changes reach the file and its other mappings. */
export const MAP_SHARED = 1;
/** Changes stay here. */
export const MAP_PRIVATE = 2;
/** No file behind it. */
export const MAP_ANONYMOUS = 0x20;
/** Do not reserve swap. */
export const MAP_NORESERVE = 0x4000;
/** Fault the pages in at once. */
export const MAP_POPULATE = 0x8000;
/** memfd_create: closed at exec. */
export const MFD_CLOEXEC = 1;
/** memfd_create: may be sealed. */
export const MFD_ALLOW_SEALING = 2;

// Events.
/** eventfd: each read takes one. */
export const EFD_SEMAPHORE = 1;
/** eventfd: closed at exec. */
export const EFD_CLOEXEC = 0o2000000;
/** eventfd: EAGAIN instead of waiting. */
export const EFD_NONBLOCK = 0o4000;
/** epoll_create1: closed at exec. */
export const EPOLL_CLOEXEC = 0o2000000;
/** Watch a descriptor. */
export const EPOLL_CTL_ADD = 1;
/** Stop watching it. */
export const EPOLL_CTL_DEL = 2;
/** Watch it for something else. */
export const EPOLL_CTL_MOD = 3;
/** Can be read. */
export const EPOLLIN = 0x001;
/** Something urgent. */
export const EPOLLPRI = 0x002;
/** Can be written. */
export const EPOLLOUT = 0x004;
/** An error is pending; always reported. */
export const EPOLLERR = 0x008;
/** Hung up; always reported. */
export const EPOLLHUP = 0x010;
/** The peer sends no more. */
export const EPOLLRDHUP = 0x2000;
/** Wake one of several epolls only. */
export const EPOLLEXCLUSIVE = 0x10000000;
/** Disarm after one event. */
export const EPOLLONESHOT = 0x40000000;
/** Report changes, not states. */
export const EPOLLET = 0x80000000;
/** poll: can be read. */
export const POLLIN = 0x001;
/** poll: something urgent. */
export const POLLPRI = 0x002;
/** poll: can be written. */
export const POLLOUT = 0x004;
/** poll: an error is pending. */
export const POLLERR = 0x008;
/** poll: hung up. */
export const POLLHUP = 0x010;
/** poll: not an open descriptor. */
export const POLLNVAL = 0x020;
/** poll: the peer sends no more. */
export const POLLRDHUP = 0x2000;

// Sockets.
/** Sockets of this machine. */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** IPv6. */
export const AF_INET6 = 10;
/** Between a virtual machine and its host. */
export const AF_VSOCK = 40;
/** A stream of bytes. */
export const SOCK_STREAM = 1;
/** Datagrams. */
export const SOCK_DGRAM = 2;
/** Ordered messages with their bounds. */
export const SOCK_SEQPACKET = 5;
/** EAGAIN instead of waiting. */
export const SOCK_NONBLOCK = 0o4000;
/** Closed at exec. */
export const SOCK_CLOEXEC = 0o2000000;
/** Level of the options of every socket. */
export const SOL_SOCKET = 1;
/** Bind although old connections linger. */
export const SO_REUSEADDR = 2;
/** Type of the socket. */
export const SO_TYPE = 3;
/** The pending error, which is cleared. */
export const SO_ERROR = 4;
/** Allow broadcasts. */
export const SO_BROADCAST = 6;
/** Size of the send buffer. */
export const SO_SNDBUF = 7;
/** Size of the receive buffer. */
export const SO_RCVBUF = 8;
/** Probe an idle peer. */
export const SO_KEEPALIVE = 9;
/** What close does with unsent data. */
export const SO_LINGER = 13;
/** Several sockets at one address. */
export const SO_REUSEPORT = 15;
/** Who is at the other end of a unix socket. */
export const SO_PEERCRED = 17;
/** Further groups of whoever is at the other end of a unix socket. */
export const SO_PEERGROUPS = 59;
/** Longest wait of a receive. */
export const SO_RCVTIMEO = 20;
/** Longest wait of a send. */
export const SO_SNDTIMEO = 21;
/** Whether the socket listens. */
export const SO_ACCEPTCONN = 30;
/** Protocol of the socket. */
export const SO_PROTOCOL = 38;
/** Family of the socket. */
export const SO_DOMAIN = 39;
/** Level of TCP's options. */
export const IPPROTO_TCP = 6;
/** Level of IPv6's options. */
export const IPPROTO_IPV6 = 41;
/** Send small segments at once. */
export const TCP_NODELAY = 1;
/** Hold partial segments back. */
export const TCP_CORK = 3;
/** Idle seconds before the first probe. */
export const TCP_KEEPIDLE = 4;
/** Seconds between probes. */
export const TCP_KEEPINTVL = 5;
/** Probes before giving up. */
export const TCP_KEEPCNT = 6;
/** Acknowledge at once. */
export const TCP_QUICKACK = 12;
/** Milliseconds that sent data may stay unacknowledged. */
export const TCP_USER_TIMEOUT = 18;
/** No IPv4 through this socket. */
export const IPV6_V6ONLY = 26;
/** Control message that carries descriptors. */
export const SCM_RIGHTS = 1;
/** Most descriptors in one message. */
export const SCM_MAX_FD = 253;
/** Leave the data in the queue. */
export const MSG_PEEK = 0x02;
/** Control data was cut; descriptors were lost. */
export const MSG_CTRUNC = 0x08;
/** The datagram was cut. */
export const MSG_TRUNC = 0x20;
/** EAGAIN instead of waiting. */
export const MSG_DONTWAIT = 0x40;
/** Wait for all that was asked for. */
export const MSG_WAITALL = 0x100;
/** EPIPE without SIGPIPE. */
export const MSG_NOSIGNAL = 0x4000;
/** More follows: do not push yet. */
export const MSG_MORE = 0x8000;
/** Received descriptors are closed at exec. */
export const MSG_CMSG_CLOEXEC = 0x40000000;
/** No more receiving. */
export const SHUT_RD = 0;
/** No more sending. */
export const SHUT_WR = 1;
/** Neither. */
export const SHUT_RDWR = 2;
/** Longest queue of connections to accept. */
export const SOMAXCONN = 4096;
/** Any vsock address of this machine. */
export const VMADDR_CID_ANY = 0xffffffff;
/** This machine, over vsock. */
export const VMADDR_CID_LOCAL = 1;
/** The host, over vsock. */
export const VMADDR_CID_HOST = 2;

// Processes and limits.
/** prctl: signal for when the parent ends. */
export const PR_SET_PDEATHSIG = 1;
/** prctl: whether core dumps are allowed. */
export const PR_GET_DUMPABLE = 3;
/** prctl: allow core dumps or not. */
export const PR_SET_DUMPABLE = 4;
/** prctl: keep capabilities over a change of uid. */
export const PR_SET_KEEPCAPS = 8;
/** prctl: name of the thread. */
export const PR_SET_NAME = 15;
/** prctl: whether a capability is in the bounding set. */
export const PR_CAPBSET_READ = 23;
/** prctl: drop a capability from the bounding set. */
export const PR_CAPBSET_DROP = 24;
/** prctl: exec gives no more privileges, for good. */
export const PR_SET_NO_NEW_PRIVS = 38;
/** prctl: whether that is so. */
export const PR_GET_NO_NEW_PRIVS = 39;
/** prctl: the ambient capabilities. */
export const PR_CAP_AMBIENT = 47;
/** Add one to the ambient capabilities. */
export const PR_CAP_AMBIENT_RAISE = 2;
/** Have no ambient capabilities. */
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** Largest file, bytes. */
export const RLIMIT_FSIZE = 1;
/** Largest core dump, bytes. */
export const RLIMIT_CORE = 4;
/** One more than the highest descriptor. */
export const RLIMIT_NOFILE = 7;
/** Most locked memory, bytes. */
export const RLIMIT_MEMLOCK = 8;
/** Most address space, bytes. */
export const RLIMIT_AS = 9;
/** Hang-up. */
export const SIGHUP = 1;
/** Interrupt from the keyboard. */
export const SIGINT = 2;
/** End at once. */
export const SIGKILL = 9;
/** For the program's own use. */
export const SIGUSR1 = 10;
/** Writing where nobody reads. */
export const SIGPIPE = 13;
/** Please end. */
export const SIGTERM = 15;
/** A child ended. */
export const SIGCHLD = 17;
/** A file became too large. */
export const SIGXFSZ = 25;

// Namespaces and mounts.
/** Also what is mounted below. */
export const AT_RECURSIVE = 0x8000;
/** Give the thread its own mounts. */
export const CLONE_NEWNS = 0x0002_0000;
/** Give the thread its own System V IPC and message queues. */
export const CLONE_NEWIPC = 0x0800_0000;
/** Give the thread its own network. */
export const CLONE_NEWNET = 0x4000_0000;
/** No set-user-id bits or file capabilities below the mount. */
export const MS_NOSUID = 0x2;
/** No device files below the mount. */
export const MS_NODEV = 0x4;
/** No programs below the mount. */
export const MS_NOEXEC = 0x8;
/** Show a folder or file at another place. */
export const MS_BIND = 0x1000;
/** With everything that is mounted below it. */
export const MS_REC = 0x4000;
/** Take mounts from the namespace that this one is a copy of, and give it none. */
export const MS_SLAVE = 0x8_0000;
/** Unmount what is in use as soon as it no longer is. */
export const MNT_DETACH = 2;
/** Read-only, for `setMountAttributes`. */
export const MOUNT_ATTR_RDONLY = 0x1;
/** As `MS_NOSUID`. */
export const MOUNT_ATTR_NOSUID = 0x2;
/** As `MS_NODEV`. */
export const MOUNT_ATTR_NODEV = 0x4;
/** As `MS_NOEXEC`. */
export const MOUNT_ATTR_NOEXEC = 0x8;

// File system types (f_type).
/** tmpfs. */
export const TMPFS_MAGIC = 0x01021994;
/** ext2, ext3 and ext4. */
export const EXT4_SUPER_MAGIC = 0xef53;
/** XFS. */
export const XFS_SUPER_MAGIC = 0x58465342;
/** Btrfs. */
export const BTRFS_SUPER_MAGIC = 0x9123683e;
/** overlayfs. */
export const OVERLAYFS_SUPER_MAGIC = 0x794c7630;
/** NFS. */
export const NFS_SUPER_MAGIC = 0x6969;
/** FUSE. */
export const FUSE_SUPER_MAGIC = 0x65735546;
/** procfs. */
export const PROC_SUPER_MAGIC = 0x9fa0;
/** sysfs. */
export const SYSFS_MAGIC = 0x62656572;
/** 9P. */
export const V9FS_MAGIC = 0x01021997;

/** Names of the errors above, by number. */
export const ERROR_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries({
    EPERM,
    ENOENT,
    ESRCH,
    EINTR,
    EIO,
    ENXIO,
    E2BIG,
    EBADF,
    ECHILD,
    EAGAIN,
    ENOMEM,
    EACCES,
    EFAULT,
    EBUSY,
    EEXIST,
    EXDEV,
    ENODEV,
    ENOTDIR,
    EISDIR,
    EINVAL,
    ENFILE,
    EMFILE,
    ENOTTY,
    ETXTBSY,
    EFBIG,
    ENOSPC,
    ESPIPE,
    EROFS,
    EMLINK,
    EPIPE,
    ERANGE,
    EDEADLK,
    ENAMETOOLONG,
    ENOLCK,
    ENOSYS,
    ENOTEMPTY,
    ELOOP,
    ENODATA,
    ETIME,
    EPROTO,
    EOVERFLOW,
    EILSEQ,
    ENOTSOCK,
    EDESTADDRREQ,
    EMSGSIZE,
    EPROTOTYPE,
    ENOPROTOOPT,
    EPROTONOSUPPORT,
    EOPNOTSUPP,
    EAFNOSUPPORT,
    EADDRINUSE,
    EADDRNOTAVAIL,
    ENETUNREACH,
    ECONNABORTED,
    ECONNRESET,
    ENOBUFS,
    EISCONN,
    ENOTCONN,
    ETIMEDOUT,
    ECONNREFUSED,
    EHOSTUNREACH,
    EALREADY,
    EINPROGRESS,
    ESTALE,
    EDQUOT,
    ECANCELED,
  }).map(([name, code]) => [code, name]),
);
