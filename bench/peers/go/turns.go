package main

import (
	"runtime"
	"sync"
)

func procs() int {
	return runtime.GOMAXPROCS(0)
}

const members = 1000

func yield() {
	measure(func() uint64 {
		left := make([]int, members)
		var wg sync.WaitGroup
		wg.Add(members)
		for i := range left {
			left[i] = size / members
			go func(left *int) {
				defer wg.Done()
				for ; *left > 0; *left-- {
					runtime.Gosched()
				}
			}(&left[i])
		}
		wg.Wait()
		unused := 0
		for _, l := range left {
			unused += l
		}
		return uint64(size - unused)
	})
}

func pingpong() {
	measure(func() uint64 {
		there, back := make(chan int), make(chan int)
		go func() {
			for ball := range there {
				back <- ball + 1
			}
			close(back)
		}()
		ball := 0
		for i := 0; i < size; i++ {
			there <- ball
			ball = <-back
		}
		close(there)
		return uint64(ball)
	})
}

const slots = 128

func sendNumbers(c chan<- int32, first, count int) {
	for i := 0; i < count; i++ {
		c <- int32(first + i)
	}
}

func stream(ends int) uint64 {
	c := make(chan int32, slots)
	sums := make([]uint64, ends)
	share := size / ends
	var senders, receivers sync.WaitGroup
	senders.Add(ends)
	receivers.Add(ends)
	for i := 0; i < ends; i++ {
		go func(sum *uint64) {
			defer receivers.Done()
			mine := uint64(0)
			for item := range c {
				mine += uint64(item)
			}
			*sum = mine
		}(&sums[i])
		go func(i int) {
			defer senders.Done()
			sendNumbers(c, i*share, share)
		}(i)
	}
	senders.Wait()
	close(c)
	receivers.Wait()
	sum := uint64(0)
	for _, part := range sums {
		sum += part
	}
	return sum
}

// For bench/scale: as many senders as size says share out what one receives.
func senders() {
	const shared = 100000
	measure(func() uint64 {
		c := make(chan int32, slots)
		var wg sync.WaitGroup
		wg.Add(size)
		for i := 0; i < size; i++ {
			go func() {
				defer wg.Done()
				sendNumbers(c, 0, shared/size)
			}()
		}
		go func() {
			wg.Wait()
			close(c)
		}()
		sum := uint64(0)
		for item := range c {
			sum += uint64(item)
		}
		return sum
	})
}

func selectSubject() {
	measure(func() uint64 {
		const lanes = 4
		var c [lanes]chan int32
		share := size / lanes
		for i := range c {
			c[i] = make(chan int32, slots)
			go func(c chan<- int32, first int) {
				sendNumbers(c, first, share)
				close(c)
			}(c[i], i*share)
		}
		sum := uint64(0)
		for open := lanes; open > 0; {
			var item int32
			var ok bool
			var which int
			select {
			case item, ok = <-c[0]:
				which = 0
			case item, ok = <-c[1]:
				which = 1
			case item, ok = <-c[2]:
				which = 2
			case item, ok = <-c[3]:
				which = 3
			}
			if ok {
				sum += uint64(item)
			} else {
				c[which] = nil // closed: never ready again
				open--
			}
		}
		return sum
	})
}

func mutex() {
	const lockers = 64
	measure(func() uint64 {
		var lock sync.Mutex
		var wg sync.WaitGroup
		count := uint64(0)
		wg.Add(lockers)
		for i := 0; i < lockers; i++ {
			go func() {
				defer wg.Done()
				for k := size / lockers; k > 0; k-- {
					lock.Lock()
					count++
					lock.Unlock()
				}
			}()
		}
		wg.Wait()
		return count
	})
}
