package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

func timers() {
	durations, late := make([]time.Duration, size), make([]time.Duration, size)
	state := seed
	for i := range durations {
		durations[i] = time.Millisecond + time.Duration(state.next()%99000000)
	}
	sleepAll := func() time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Add(size)
		for i := range durations {
			go func(i int) {
				defer wg.Done()
				began := time.Now()
				time.Sleep(durations[i])
				late[i] = time.Since(began) - durations[i]
			}(i)
		}
		wg.Wait()
		return time.Since(begin)
	}
	sleepAll()
	taken := sleepAll()
	sort.Slice(late, func(i, k int) bool { return late[i] < late[k] })
	inTime := size - sort.Search(size, func(i int) bool { return late[i] >= 0 })
	fmt.Println(taken.Nanoseconds(), inTime, late[size/2].Nanoseconds(), late[size/100*99].Nanoseconds())
}

// net sets TCP_NODELAY by itself.
func echoConnection(c net.Conn) {
	defer c.Close()
	buffer := make([]byte, 4096)
	for {
		got, err := c.Read(buffer)
		if err != nil {
			return
		}
		if _, err := c.Write(buffer[:got]); err != nil {
			return
		}
	}
}

func echo() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		c, err := listener.Accept()
		must(err)
		go echoConnection(c)
	}
}

// Computes for a millisecond at a time, and then lets others run.
func compute() {
	for {
		for begin := time.Now(); time.Since(begin) < time.Millisecond; {
		}
		runtime.Gosched()
	}
}

func echoBusy() {
	for i := 0; i < size; i++ {
		go compute()
	}
	echo()
}

var space = [256]bool{' ': true, '\t': true, '\n': true, '\v': true, '\f': true, '\r': true}

func countWords(path string) uint64 {
	file, err := os.Open(path)
	must(err)
	defer file.Close()
	buffer := make([]byte, 16<<10)
	words, before := uint64(0), true
	for {
		got, err := file.Read(buffer)
		for _, b := range buffer[:got] {
			if here := space[b]; here != before {
				if before {
					words++
				}
				before = here
			}
		}
		if err == io.EOF {
			return words
		}
		must(err)
	}
}

func contrast() {
	var paths []string
	must(filepath.WalkDir(text, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	}))
	measure(func() uint64 {
		var words uint64
		var wg sync.WaitGroup
		wg.Add(len(paths))
		for _, path := range paths {
			go func(path string) {
				defer wg.Done()
				atomic.AddUint64(&words, countWords(path))
			}(path)
		}
		wg.Wait()
		return words
	})
}

func resident() float64 {
	file, err := os.Open("/proc/self/statm")
	must(err)
	defer file.Close()
	var total, pages float64
	_, err = fmt.Fscan(bufio.NewReader(file), &total, &pages)
	must(err)
	return pages * float64(os.Getpagesize())
}

// hold starts as many goroutines as size says, which wait for the gate; settle lets them get there.
func hold(settle func(arrived *int64)) {
	gate := make(chan struct{})
	var wg sync.WaitGroup
	var arrived int64
	wg.Add(size)
	before := resident()
	for i := 0; i < size; i++ {
		go func() {
			atomic.AddInt64(&arrived, 1)
			<-gate
			wg.Done()
		}()
	}
	settle(&arrived)
	bytes := (resident() - before) / float64(size)
	close(gate)
	wg.Wait()
	fmt.Printf("%.1f 1\n", bytes)
}

func memory() {
	hold(func(arrived *int64) {
		for atomic.LoadInt64(arrived) < int64(size) {
			time.Sleep(time.Millisecond)
		}
	})
}

// The one processor is the starter's, but for when it is preempted: the few that run then have waited for the gate.
func memorySpawned() {
	hold(func(*int64) {})
}
