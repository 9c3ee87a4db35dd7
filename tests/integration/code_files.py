"""A source file of each language with the definitions that a reader looks for, in order."""

from __future__ import annotations

FILES: dict[str, str] = {
    "orders.ts": """import { Money } from "./money";

export interface Order { id: string; lines: Line[]; total?: Money }

/** Adds what is on the lines. */
export function total<T extends Order>(order: T): number {
  return order.lines.reduce((sum, line) => sum + line.price * line.count, 0);
}

export class Basket {
  private readonly orders = new Map<string, Order>();

  add(order: Order): void {
    this.orders.set(order.id, order);
  }
}
""",
    "Button.tsx": """import React from "react";

type Props = { label: string; onClick: () => void };

export const Button: React.FC<Props> = ({ label, onClick }) => {
  return <button className="primary" onClick={onClick}>{label}</button>;
};

export function Toolbar({ children }: { children: React.ReactNode }) {
  return <div role="toolbar">{children}</div>;
}
""",
    "server.go": """package main

import "net/http"

// Server answers requests.
type Server struct {
	mux *http.ServeMux
}

func NewServer() *Server {
	return &Server{mux: http.NewServeMux()}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mux.ServeHTTP(w, r)
}
""",
    "queue.rs": """use std::collections::VecDeque;

/// First in, first out.
pub struct Queue<T> {
    items: VecDeque<T>,
}

impl<T> Queue<T> {
    pub fn push(&mut self, item: T) {
        self.items.push_back(item);
    }
}

fn main() {
    let mut queue = Queue { items: VecDeque::new() };
    queue.push('a');
}
""",
    "Account.java": """package bank;

import java.math.BigDecimal;

public final class Account {
    private BigDecimal balance = BigDecimal.ZERO;

    public void deposit(BigDecimal amount) {
        balance = balance.add(amount);
    }

    public BigDecimal balance() {
        return balance;
    }
}
""",
    "list.c": """#include <stdlib.h>

struct node { int value; struct node *next; };

static struct node *push(struct node *head, int value) {
    struct node *node = malloc(sizeof *node);
    node->value = value;
    node->next = head;
    return node;
}

int main(void) {
    return push(NULL, 1)->value - 1;
}
""",
    "stack.cpp": """#include <vector>

namespace demo {

template <typename T>
class Stack {
public:
    void push(T value) { items_.push_back(std::move(value)); }
private:
    std::vector<T> items_;
};

}  // namespace demo

int main() {
    demo::Stack<int> stack;
    stack.push(1);
}
""",
    "Greeter.cs": """using System;

namespace Demo
{
    public class Greeter
    {
        public string Greet(string name) => $"Hello, {name}!";

        public static void Main()
        {
            Console.WriteLine(new Greeter().Greet("Ann"));
        }
    }
}
""",
    "cart.rb": """require "set"

# What a customer is about to buy.
class Cart
  def initialize
    @lines = []
  end

  def add(line)
    @lines << line
  end
end

def total(cart)
  cart.lines.sum(&:price)
end
""",
    "page.css": """:root { --accent: #0a7; }

/* The bar at the top. */
.toolbar {
  display: flex;
  gap: 1rem;
}

@media (max-width: 40rem) {
  .toolbar { flex-direction: column; }
}

.button:hover { color: var(--accent); }
""",
    "pyproject.toml": """[project]
name = "demo"
dependencies = ["httpx>=0.28"]

[tool.ruff]
line-length = 120

[[tool.mypy.overrides]]
module = ["x.*"]
ignore_missing_imports = true
""",
    "compose.yaml": """services:
  web:
    image: nginx:1.27
    ports: ["80:80"]
  database:
    image: postgres:17
    environment:
      POSTGRES_DB: demo
volumes:
  data: {}
""",
}

# How many characters a chunk holds, and what has to begin one, apart from white space.
BEGINNINGS: dict[str, tuple[int, tuple[str, ...]]] = {
    "orders.ts": (180, ("import", "export function total", "export class Basket")),
    "Button.tsx": (180, ("import", "export const Button", "export function Toolbar")),
    "server.go": (120, ("package", "func NewServer", "func (s *Server)")),
    "queue.rs": (180, ("use", "impl<T> Queue<T>", "fn main")),
    "Account.java": (120, ("package", "public final class Account", "public void deposit", "public BigDecimal balance")),
    "list.c": (180, ("#include", "static struct node *push", "int main")),
    "stack.cpp": (120, ("#include", "template <typename T>", "class Stack")),
    "Greeter.cs": (120, ("using", "public class Greeter", "public static void Main")),
    "cart.rb": (180, ("require", "def total")),
    "page.css": (120, (":root", "@media")),
    "pyproject.toml": (100, ("[project]", "[[tool.mypy")),
    "compose.yaml": (120, ("services:", "database:")),
}
