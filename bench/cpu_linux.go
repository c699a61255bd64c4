package main

import (
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// cpuTime is the CPU time that a process has used, all its threads together, to the
// nanosecond: the clock of clock_getcpuclockid(3). The ticks of /proc/PID/stat are 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	clock := ^pid<<3 | 2 // CPUCLOCK_SCHED of the whole process
	var at syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, errno)
	}
	return time.Duration(at.Nano()), nil
}

// waitTime is how long the threads of a process were ready to run, but had no core: the
// second number of schedstat.
func waitTime(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var sum time.Duration
	for _, f := range files {
		var ran, waited int64
		if text, err := os.ReadFile(f); err == nil {
			fmt.Sscan(string(text), &ran, &waited)
		}
		sum += time.Duration(waited)
	}
	return sum
}

// cpuSet is a set of cores, as sched_setaffinity(2) takes it.
type cpuSet [16]uint64

func (s cpuSet) cores() (list []int) {
	for i, word := range s {
		for word != 0 {
			list = append(list, i*64+bits.TrailingZeros64(word))
			word &= word - 1
		}
	}
	return list
}

func setOf(cores []int) (s cpuSet) {
	for _, c := range cores {
		s[c/64] |= 1 << (c % 64)
	}
	return s
}

// allowed are the cores that this process may use.
func allowed() (s cpuSet, err error) {
	if _, _, errno := syscall.Syscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(s), uintptr(unsafe.Pointer(&s))); errno != 0 {
		return s, fmt.Errorf("ask for the cores: %w", errno)
	}
	return s, nil
}

// pinned calls start with a thread that may use those cores only. A process that start begins
// inherits them. An empty list changes nothing.
func pinned(cores []int, start func() error) error {
	if len(cores) == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := allowed()
	if err != nil {
		return err
	}
	set := func(s cpuSet) error {
		if _, _, errno := syscall.Syscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(s), uintptr(unsafe.Pointer(&s))); errno != 0 {
			return fmt.Errorf("choose the cores %v: %w", s.cores(), errno)
		}
		return nil
	}
	if err := set(setOf(cores)); err != nil {
		return err
	}
	defer set(before)
	return start()
}
