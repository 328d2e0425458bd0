// The subjects in Go: a goroutine where weft has a task, GOMAXPROCS where it has workers, and nothing but the
// standard library.  bench/peers/README.md states what each subject does.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

const (
	enough = 50 * time.Millisecond // is measured at least
	long   = time.Second           // a run that takes so long needs no other one to warm it up
)

var (
	size int    // of the command line
	text string // the same, as it was given
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measure does the work once to warm up, then for a while, and prints the mean time of one and the check value.
func measure(work func() uint64) {
	begin := time.Now()
	check := work()
	taken, runs := time.Since(begin), 1
	if taken < long {
		taken, runs = 0, 0
	}
	for ; taken < enough; runs++ {
		begin = time.Now()
		again := work()
		taken += time.Since(begin)
		if again != check {
			must(fmt.Errorf("two runs have come to different results"))
		}
	}
	fmt.Printf("%.1f %d\n", float64(taken.Nanoseconds())/float64(runs), check)
}

type subject struct {
	run    func()
	whyNot string
}

var subjects = map[string]subject{
	"fib":            {run: fibSubject},
	"spawn":          {run: spawn},
	"skynet":         {run: skynetSubject},
	"skynet-chan":    {run: skynetChanSubject},
	"uts":            {run: utsSubject},
	"nqueens":        {run: nqueens},
	"matmul":         {run: matmul},
	"reduce":         {run: reduce},
	"sort":           {run: sortSubject},
	"yield":          {run: yield},
	"pingpong":       {run: pingpong},
	"chan":           {run: func() { measure(func() uint64 { return stream(1) }) }},
	"chan4":          {run: func() { measure(func() uint64 { return stream(4) }) }},
	"senders":        {run: senders},
	"select":         {run: selectSubject},
	"mutex":          {run: mutex},
	"timers":         {run: timers},
	"echo":           {run: echo},
	"echo-busy":      {run: echoBusy},
	"contrast":       {run: contrast},
	"memory":         {run: memory},
	"memory-spawned": {run: memorySpawned},
	"start":          {whyNot: "Go's runtime starts and ends with the program"},
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: go SUBJECT WORKERS [SIZE]")
		os.Exit(2)
	}
	workers, err := strconv.Atoi(os.Args[2])
	must(err)
	runtime.GOMAXPROCS(workers)
	if len(os.Args) > 3 {
		text = os.Args[3]
		size, _ = strconv.Atoi(text) // of one subject it is a directory
	}
	s, known := subjects[os.Args[1]]
	if !known {
		s.whyNot = "it has no such subject"
	}
	if s.run == nil {
		fmt.Fprintln(os.Stderr, s.whyNot)
		os.Exit(3)
	}
	s.run()
}
