package main

import "sync"

// inPieces calls body for even parts of [0, end), one for each processor that is in use.
func inPieces(end, pieces int, body func(piece, begin, end int)) {
	var wg sync.WaitGroup
	wg.Add(pieces)
	for p := 0; p < pieces; p++ {
		go func(p int) {
			defer wg.Done()
			body(p, end*p/pieces, end*(p+1)/pieces)
		}(p)
	}
	wg.Wait()
}

func multiplyRows(a, b, c []float64, n, begin, end int) {
	for i := begin; i < end; i++ {
		row := c[i*n : (i+1)*n]
		for j := range row {
			row[j] = 0
		}
		for k := 0; k < n; k++ {
			factor := a[i*n+k]
			other := b[k*n : (k+1)*n]
			other = other[:len(row)] // so that the bounds are checked once
			for j := range row {
				row[j] += factor * other[j]
			}
		}
	}
}

func matmul() {
	n := size
	a, b, c := make([]float64, n*n), make([]float64, n*n), make([]float64, n*n)
	for i := range a {
		a[i], b[i] = float64(i%7), float64(i%5)
	}
	measure(func() uint64 {
		inPieces(n, procs(), func(_, begin, end int) { multiplyRows(a, b, c, n, begin, end) })
		sum := 0.0
		for i, value := range c {
			sum += value * float64(i%3+1)
		}
		return uint64(sum)
	})
}

func reduce() {
	array := make([]uint32, size)
	for i := range array {
		array[i] = uint32(i)
	}
	measure(func() uint64 {
		parts := make([]uint64, procs())
		inPieces(size, len(parts), func(piece, begin, end int) {
			sum := uint64(0)
			for _, value := range array[begin:end] {
				sum += uint64(value)
			}
			parts[piece] = sum
		})
		sum := uint64(0)
		for _, part := range parts {
			sum += part
		}
		return sum
	})
}

type random uint64

const seed random = 88172645463325252

func (r *random) next() uint64 {
	x := *r
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = x
	return uint64(x)
}

const sortAlone = 4096 // elements that are sorted without goroutines

func insertionSort(array []uint32) {
	for i := 1; i < len(array); i++ {
		moved, k := array[i], i
		for ; k > 0 && array[k-1] > moved; k-- {
			array[k] = array[k-1]
		}
		array[k] = moved
	}
}

func merge(array, scratch []uint32, middle int) {
	copy(scratch, array[:middle])
	left, right, out := 0, middle, 0
	for left < middle && right < len(array) {
		if array[right] < scratch[left] {
			array[out] = array[right]
			right++
		} else {
			array[out] = scratch[left]
			left++
		}
		out++
	}
	copy(array[out:], scratch[left:middle])
}

func mergeSort(array, scratch []uint32) {
	if len(array) <= 32 {
		insertionSort(array)
		return
	}
	middle := len(array) / 2
	if len(array) > sortAlone {
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			mergeSort(array[middle:], scratch[middle:])
		}()
		mergeSort(array[:middle], scratch[:middle])
		wg.Wait()
	} else {
		mergeSort(array[:middle], scratch[:middle])
		mergeSort(array[middle:], scratch[middle:])
	}
	merge(array, scratch, middle)
}

func sortSubject() {
	unsorted, array, scratch := make([]uint32, size), make([]uint32, size), make([]uint32, size)
	state := seed
	for i := range unsorted {
		unsorted[i] = uint32(state.next())
	}
	measure(func() uint64 {
		copy(array, unsorted)
		mergeSort(array, scratch)
		check := uint64(0)
		for i, value := range array {
			check += uint64(value) * uint64(i+1)
		}
		return check
	})
}
