package main

import "math/bits"

// A node of the tree T1 of the Unbalanced Tree Search, as in bench/uts_tree.c: SHA-1 over words, the same number of
// operations, and no instructions made for it.
type utsNode struct {
	random [5]uint32
	depth  int
}

func hash(message []uint32) (digest [5]uint32) {
	start := [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	a, b, c, d, e := start[0], start[1], start[2], start[3], start[4]
	var w [16]uint32
	copy(w[:], message)
	w[len(message)] = 0x80000000
	w[15] = uint32(len(message)) * 32

	// In four loops, as crypto/sha1 has them where there is no assembly.
	i := 0
	for ; i < 16; i++ {
		f := b&c | (^b)&d
		t := bits.RotateLeft32(a, 5) + f + e + w[i&0xf] + 0x5a827999
		a, b, c, d, e = t, a, bits.RotateLeft32(b, 30), c, d
	}
	for ; i < 20; i++ {
		mixed := w[(i-3)&0xf] ^ w[(i-8)&0xf] ^ w[(i-14)&0xf] ^ w[(i)&0xf]
		w[i&0xf] = bits.RotateLeft32(mixed, 1)
		f := b&c | (^b)&d
		t := bits.RotateLeft32(a, 5) + f + e + w[i&0xf] + 0x5a827999
		a, b, c, d, e = t, a, bits.RotateLeft32(b, 30), c, d
	}
	for ; i < 40; i++ {
		mixed := w[(i-3)&0xf] ^ w[(i-8)&0xf] ^ w[(i-14)&0xf] ^ w[(i)&0xf]
		w[i&0xf] = bits.RotateLeft32(mixed, 1)
		f := b ^ c ^ d
		t := bits.RotateLeft32(a, 5) + f + e + w[i&0xf] + 0x6ed9eba1
		a, b, c, d, e = t, a, bits.RotateLeft32(b, 30), c, d
	}
	for ; i < 60; i++ {
		mixed := w[(i-3)&0xf] ^ w[(i-8)&0xf] ^ w[(i-14)&0xf] ^ w[(i)&0xf]
		w[i&0xf] = bits.RotateLeft32(mixed, 1)
		f := ((b | c) & d) | (b & c)
		t := bits.RotateLeft32(a, 5) + f + e + w[i&0xf] + 0x8f1bbcdc
		a, b, c, d, e = t, a, bits.RotateLeft32(b, 30), c, d
	}
	for ; i < 80; i++ {
		mixed := w[(i-3)&0xf] ^ w[(i-8)&0xf] ^ w[(i-14)&0xf] ^ w[(i)&0xf]
		w[i&0xf] = bits.RotateLeft32(mixed, 1)
		f := b ^ c ^ d
		t := bits.RotateLeft32(a, 5) + f + e + w[i&0xf] + 0xca62c1d6
		a, b, c, d, e = t, a, bits.RotateLeft32(b, 30), c, d
	}
	return [5]uint32{start[0] + a, start[1] + b, start[2] + c, start[3] + d, start[4] + e}
}

func utsRoot() utsNode {
	return utsNode{random: hash([]uint32{0, 0, 0, 0, 19})}
}

func (n *utsNode) child(i int) utsNode {
	message := [6]uint32{n.random[0], n.random[1], n.random[2], n.random[3], n.random[4], uint32(i)}
	return utsNode{hash(message[:]), n.depth + 1}
}

func (n *utsNode) children(limit int) int {
	if n.depth >= limit {
		return 0
	}
	u := float64(n.random[4]&0x7fffffff) / 2147483648.0
	const step = 4.0 / 5.0
	count := 0
	for power := step; power >= 1-u; power *= step {
		count++
	}
	return count
}
