package main

import (
	"math/bits"
	"sync"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	var left int
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		left = fib(n - 1)
	}()
	right := fib(n - 2)
	wg.Wait()
	return left + right
}

func fibSubject() {
	measure(func() uint64 { return uint64(fib(size)) })
}

const batch = 1000

func spawn() {
	counts := make([]int, batch)
	measure(func() uint64 {
		for i := range counts {
			counts[i] = 0
		}
		for round := 0; round < size/batch; round++ {
			var wg sync.WaitGroup
			wg.Add(batch)
			for i := 0; i < batch; i++ {
				go func(count *int) {
					*count++
					wg.Done()
				}(&counts[i])
			}
			wg.Wait()
		}
		sum := 0
		for _, count := range counts {
			sum += count
		}
		return uint64(sum)
	})
}

const fan = 10

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	var sums [fan]int
	var wg sync.WaitGroup
	wg.Add(fan)
	for i := 0; i < fan; i++ {
		go func(i int) {
			defer wg.Done()
			sums[i] = skynet(first+i*(leaves/fan), leaves/fan)
		}(i)
	}
	wg.Wait()
	sum := 0
	for _, part := range sums {
		sum += part
	}
	return sum
}

func skynetSubject() {
	measure(func() uint64 { return uint64(skynet(0, size)) })
}

func skynetChan(up chan<- int, first, leaves int) {
	if leaves == 1 {
		up <- first
		return
	}
	below := make(chan int)
	for i := 0; i < fan; i++ {
		go skynetChan(below, first+i*(leaves/fan), leaves/fan)
	}
	sum := 0
	for i := 0; i < fan; i++ {
		sum += <-below
	}
	up <- sum
}

func skynetChanSubject() {
	measure(func() uint64 {
		up := make(chan int)
		go skynetChan(up, 0, size)
		return uint64(<-up)
	})
}

type found struct {
	nodes, leaves uint64
	depth         int
}

func uts(n *utsNode, limit int) found {
	count := n.children(limit)
	f := found{nodes: 1, depth: n.depth}
	if count == 0 {
		f.leaves = 1
		return f
	}
	below := make([]found, count)
	var wg sync.WaitGroup
	wg.Add(count)
	for i := 0; i < count; i++ {
		go func(i int) {
			defer wg.Done()
			child := n.child(i)
			below[i] = uts(&child, limit)
		}(i)
	}
	wg.Wait()
	for _, b := range below {
		f.nodes += b.nodes
		f.leaves += b.leaves
		if b.depth > f.depth {
			f.depth = b.depth
		}
	}
	return f
}

func utsSubject() {
	measure(func() uint64 {
		root := utsRoot()
		f := uts(&root, size)
		return f.nodes + f.leaves + uint64(f.depth)
	})
}

// A board whose first rows are taken.
type board struct {
	columns, left, right uint32 // attacked in the next row: straight, and by the two diagonals
	size, rows           uint   // rows still free
}

const alone = 8 // rows that are searched without goroutines

func (b board) places() uint32 {
	return ^(b.columns | b.left | b.right) & (1<<b.size - 1)
}

func (b board) with(place uint32) board {
	return board{b.columns | place, (b.left | place) << 1, (b.right | place) >> 1, b.size, b.rows - 1}
}

func solutions(all, columns, left, right uint32) uint64 {
	if columns == all {
		return 1
	}
	sum := uint64(0)
	for free := all &^ (columns | left | right); free != 0; free &= free - 1 {
		place := free & -free
		sum += solutions(all, columns|place, (left|place)<<1, (right|place)>>1)
	}
	return sum
}

func (b board) spread() uint64 {
	if b.rows <= alone {
		return solutions(1<<b.size-1, b.columns, b.left, b.right)
	}
	places := b.places()
	below := make([]uint64, bits.OnesCount32(places))
	var wg sync.WaitGroup
	wg.Add(len(below))
	for i, free := 0, places; free != 0; i, free = i+1, free&(free-1) {
		go func(i int, next board) {
			defer wg.Done()
			below[i] = next.spread()
		}(i, b.with(free&-free))
	}
	wg.Wait()
	sum := uint64(0)
	for _, part := range below {
		sum += part
	}
	return sum
}

func nqueens() {
	measure(func() uint64 { return board{size: uint(size), rows: uint(size)}.spread() })
}
